# Run at every build by the target tightrope_git (BuildInfo.cmake), which gives the variables.
# Writes only what changed, so that nothing is compiled again for nothing.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=* OUTPUT_VARIABLE GIT
                OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT GIT)
  set(GIT "unknown")
endif()
set(BUILD "${TYPE}")
set(text "#pragma once\n")
foreach(name VERSION GIT BUILD SANITIZE COMPILER LIBRARIES ACCELERATOR)
  string(APPEND text "#define TIGHTROPE_${name} \"${${name}}\"\n")
endforeach()
set(old "")
if(EXISTS ${OUT})
  file(READ ${OUT} old)
endif()
if(NOT old STREQUAL text)
  file(WRITE ${OUT} "${text}")
endif()
