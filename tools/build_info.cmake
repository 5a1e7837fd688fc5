# Writes OUTPUT with VERSION and the commit of SOURCE; leaves it untouched when nothing changed.
set(commit "unknown")
set(dirty "false")
execute_process(COMMAND git -C ${SOURCE} rev-parse --short=12 HEAD OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE
                RESULT_VARIABLE failed ERROR_QUIET)
if(NOT failed)
  set(commit ${found})
  execute_process(COMMAND git -C ${SOURCE} status --porcelain --untracked-files=no OUTPUT_VARIABLE changes ERROR_QUIET)
  if(changes)
    set(dirty "true")
  endif()
endif()
set(text "#pragma once\n\nnamespace hourglass::base {\n
inline constexpr const char* build_version = \"${VERSION}\";
inline constexpr const char* build_git_commit = \"${commit}\";
inline constexpr bool build_git_dirty = ${dirty};\n\n}  // namespace hourglass::base\n")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} old)
endif()
if(NOT "${old}" STREQUAL "${text}")
  file(WRITE ${OUTPUT} "${text}")
endif()
