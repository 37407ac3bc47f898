# One list of warnings for both compilers, as errors. Generated code is built without them.
option(HF_ANALYZE "gcc -fanalyzer on every file (slow; make lint)" OFF)
option(HF_FUZZ "libFuzzer targets; needs clang" OFF)
set(HF_SANITIZE "" CACHE STRING "address,undefined or thread")

set(HF_WARNINGS -Werror -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
    -Wstrict-prototypes -Wold-style-definition -Wmissing-prototypes -Wmissing-declarations
    -Wredundant-decls -Wnested-externs -Wundef -Wformat=2 -Wwrite-strings -Wpointer-arith
    -Wcast-qual -Wcast-align -Wvla -Walloca -Wswitch-enum -Wimplicit-fallthrough
    -Wdouble-promotion -Wdate-time)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  list(APPEND HF_WARNINGS -Wlogical-op -Wduplicated-cond -Wduplicated-branches
       -Wjump-misses-init -Wformat-signedness)
  if(HF_ANALYZE)
    # What it says of null and uninitialised values is wrong wherever a status tells whether an
    # output was set; clang's analyzer looks for those. Leaks, double frees and use after free stay.
    list(APPEND HF_WARNINGS -fanalyzer -Wno-analyzer-null-dereference -Wno-analyzer-null-argument
         -Wno-analyzer-use-of-uninitialized-value)
  endif()
else()
  list(APPEND HF_WARNINGS -Wcomma -Wunreachable-code -Wassign-enum)
endif()
# Instrumented code has bigger frames and branches that no source line has.
if(NOT HF_SANITIZE)
  list(APPEND HF_WARNINGS -Wnull-dereference -Wframe-larger-than=8192)
endif()

if(HF_SANITIZE)
  add_compile_options(-fsanitize=${HF_SANITIZE} -fno-omit-frame-pointer -g -O1)
  add_link_options(-fsanitize=${HF_SANITIZE})
  if(HF_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
  if(HF_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)
  endif()
elseif(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  set(CMAKE_C_FLAGS_RELEASE "-O2 -g1")
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong
                      -fstack-clash-protection -fPIE)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64")
    add_compile_options(-fcf-protection=full)
  endif()
  add_link_options(-pie -Wl,-z,relro,-z,now)
endif()

add_compile_definitions(_GNU_SOURCE)

function(hf_warnings target)
  target_compile_options(${target} PRIVATE ${HF_WARNINGS})
endfunction()
