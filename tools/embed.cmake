# Writes OUTPUT, a C++ file that holds the FILES (a list, relative to SOURCE) as a table, so that the program needs none
# of them at run time:
#   cmake -DSOURCE=... -DOUTPUT=... -DROOM=reports -DHEADER=reports/assets.h "-DFILES=a;b" -P embed.cmake
# A raw string ends at the first ')embedded"', which no file may contain.
set(text "// Written by tools/embed.cmake.\n#include \"${HEADER}\"\n\nnamespace hourglass::${ROOM} {\n\n")
string(APPEND text "std::span<const base::EmbeddedFile> embedded_files() {\n  using namespace std::string_view_literals;\n")
string(APPEND text "  static constexpr base::EmbeddedFile files[] = {\n")
foreach(name IN LISTS FILES)
  file(READ "${SOURCE}/${name}" content)
  string(FIND "${content}" ")embedded\"" bad)
  if(NOT bad EQUAL -1)
    message(FATAL_ERROR "${name} contains the mark that ends an embedded file")
  endif()
  string(APPEND text "      {\"${name}\"sv, R\"embedded(${content})embedded\"sv},\n")
endforeach()
string(APPEND text "  };\n  return files;\n}\n\n}  // namespace hourglass::${ROOM}\n")
file(WRITE "${OUTPUT}" "${text}")
