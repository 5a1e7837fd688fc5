# cmake --install and the packages (cpack): the program, its companions and plug-ins, the shipped configs, manual page,
# completion, documents and licences. What the program writes of itself it writes while it is installed.
include(GNUInstallDirs)
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)  # tests and benchmarks are no part of it

install(TARGETS hourglass RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
foreach(level IN LISTS HOURGLASS_LEVELS)
  install(TARGETS hourglass-x86-64-${level} RUNTIME DESTINATION lib/hourglass)
endforeach()
foreach(plugin hourglass_cuda hourglass_nccl)  # built where nvcc is found, and only when asked for
  if(TARGET ${plugin})
    install(FILES $<TARGET_FILE:${plugin}> DESTINATION lib/hourglass OPTIONAL)
  endif()
endforeach()

install(DIRECTORY configs/ DESTINATION share/hourglass/configs FILES_MATCHING PATTERN "*.json")
install(FILES README.md CHANGELOG.md CONTRIBUTING.md LICENSE NOTICE DESTINATION share/doc/hourglass)
install(FILES NOTICE RENAME copyright DESTINATION share/doc/hourglass)
install(DIRECTORY docs DESTINATION share/doc/hourglass)
install(FILES reports/vendor/d3.LICENSE reports/vendor/plot.LICENSE DESTINATION share/doc/hourglass/licences)

install(CODE [[
  function(hourglass_writes what file)
    set(path "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/share/${file}")
    message(STATUS "Installing: ${path}")
    get_filename_component(folder "${path}" DIRECTORY)
    file(MAKE_DIRECTORY "${folder}")
    execute_process(COMMAND "$<TARGET_FILE:hourglass>" ${what} OUTPUT_FILE "${path}" COMMAND_ERROR_IS_FATAL ANY)
  endfunction()
  hourglass_writes("man" man/man1/hourglass.1)
  hourglass_writes("completion;bash" bash-completion/completions/hourglass)
  hourglass_writes("completion;zsh" zsh/site-functions/_hourglass)
]])

set(CPACK_GENERATOR DEB TGZ)
set(CPACK_PACKAGE_NAME hourglass)
set(CPACK_PACKAGE_VENDOR "the authors of Hourglass")
set(CPACK_PACKAGE_CONTACT "the authors of Hourglass <hourglass@hourglass.example>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "GPU-hours of a training run, before the GPUs are bought")
set(CPACK_PACKAGE_DESCRIPTION "Simulates one training step of a language model operator by operator on a cluster of GPUs,
under a pipeline schedule, and turns steps into GPU-hours, days and dollars.")
set(CPACK_PACKAGE_FILE_NAME "hourglass-${PROJECT_VERSION}-${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR}")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
include(CPack)
