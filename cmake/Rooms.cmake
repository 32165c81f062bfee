# One target per room, all with the same warnings.
add_library(regroup_flags INTERFACE)
target_compile_options(regroup_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wformat=2
  -Wimplicit-fallthrough -fstack-protector-strong
  $<$<BOOL:${REGROUP_WERROR}>:-Werror>
  # g++ 12 takes designated initialisers that leave trailing members to their defaults for an oversight.
  -Wno-missing-field-initializers
  # and reports overlapping copies inside std::string that cannot happen (GCC bug 105651).
  -Wno-restrict)
target_compile_definitions(regroup_flags INTERFACE _GLIBCXX_ASSERTIONS)
if(REGROUP_SANITIZE)
  target_compile_options(regroup_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
    -Wno-maybe-uninitialized)  # false alarms of g++ 12 in instrumented fmt
  target_link_options(regroup_flags INTERFACE -fsanitize=address,undefined)
endif()

function(regroup_room name)
  list(TRANSFORM ARGN PREPEND "${CMAKE_SOURCE_DIR}/${name}/")
  add_library(regroup_${name} STATIC ${ARGN})
  target_include_directories(regroup_${name} PUBLIC "${CMAKE_SOURCE_DIR}/include" "${CMAKE_BINARY_DIR}/generated"
    PRIVATE "${CMAKE_SOURCE_DIR}/${name}")
  target_link_libraries(regroup_${name} PRIVATE regroup_flags)
endfunction()
