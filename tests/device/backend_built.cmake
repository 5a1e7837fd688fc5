# Fails if a CUDA compiler is here and the backend that should have been built with it was not (a build folder that was
# configured before CUDA was installed, a compiler in an unexpected place).
if(SWITCHED_OFF)
  message(STATUS "skipped: the CUDA backend was switched off (HOURGLASS_CUDA=OFF, or sanitizers)")
  return()
endif()
file(GLOB places /usr/local/cuda*/bin /opt/cuda*/bin)
find_program(COMPILER nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS ${places} PATH_SUFFIXES bin)
if(COMPILER AND NOT BUILT)
  message(FATAL_ERROR "there is a ${COMPILER}, but the CUDA backend was not built: configure again, or set CUDACXX")
endif()
if(NOT COMPILER)
  message(STATUS "skipped: no nvcc, so there is no CUDA backend to build")
endif()
