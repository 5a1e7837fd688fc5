# Writes OUTPUT, a C++ file that holds the FILES (a list, relative to SOURCE) as constants, so that the program needs
# none of them at run time; FUNCTION of HEADER gives them by name:
#   cmake -DSOURCE=... -DOUTPUT=... -DHEADER=reports/assets.h -DFUNCTION=asset "-DFILES=a;b" -P embed.cmake
# A raw string ends at the first ')embedded"', which no file may contain.
set(text "// Written by tools/embed.cmake.\n#include \"${HEADER}\"\n\nnamespace hourglass::reports {\n\n")
string(APPEND text "std::string_view ${FUNCTION}(std::string_view name) {\n")
foreach(name IN LISTS FILES)
  file(READ "${SOURCE}/${name}" content)
  string(FIND "${content}" ")embedded\"" bad)
  if(NOT bad EQUAL -1)
    message(FATAL_ERROR "${name} contains the mark that ends an embedded file")
  endif()
  string(APPEND text "  if (name == \"${name}\") return R\"embedded(${content})embedded\";\n")
endforeach()
string(APPEND text "  return {};\n}\n\n}  // namespace hourglass::reports\n")
file(WRITE "${OUTPUT}" "${text}")
