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
include(Sanitizers)
include(PrecompiledHeaders)

# Several sources of a room are compiled as one, which takes a third of the time that they take one by one. Whoever changes one
# source again and again turns it off, and builds once more with it before a commit.
option(REGROUP_UNITY "Compile a room's sources together" ON)

# regroup_together(TARGET [ALONE SOURCES...])   ALONE: their names are those of other sources, or they include themselves
# CMake's own way names sources by their whole path, so ccache would not find the object in another clone.
function(regroup_together target)
  cmake_parse_arguments(TOGETHER "" "" "ALONE" ${ARGN})
  if(NOT REGROUP_UNITY)
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  list(REMOVE_ITEM sources ${TOGETHER_ALONE} "")
  set(folder "${CMAKE_BINARY_DIR}/generated/together")
  set(joined "")
  while(sources)
    list(SUBLIST sources 0 8 some)
    list(REMOVE_ITEM sources ${some})
    set(text "")
    foreach(source IN LISTS some)
      file(REAL_PATH "${source}" source BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}")
      file(RELATIVE_PATH source "${folder}" "${source}")
      string(APPEND text "#include \"${source}\"\n")
    endforeach()
    list(LENGTH joined count)
    file(CONFIGURE OUTPUT "${folder}/${target}_${count}.cpp" CONTENT "${text}" @ONLY)
    list(APPEND joined "${folder}/${target}_${count}.cpp")
  endwhile()
  set_target_properties(${target} PROPERTIES SOURCES "${TOGETHER_ALONE};${joined}")
endfunction()

# regroup_room(NAME [TORCH] [IN FOLDER] SOURCES... [ALONE SOURCES...])   TORCH: its sources include LibTorch; FOLDER: NAME
function(regroup_room name)
  cmake_parse_arguments(ROOM "TORCH" "IN" "ALONE" ${ARGN})
  if(NOT ROOM_IN)
    set(ROOM_IN ${name})
  endif()
  list(TRANSFORM ROOM_UNPARSED_ARGUMENTS PREPEND "${CMAKE_SOURCE_DIR}/${ROOM_IN}/" OUTPUT_VARIABLE sources)
  list(TRANSFORM ROOM_ALONE PREPEND "${CMAKE_SOURCE_DIR}/${ROOM_IN}/" OUTPUT_VARIABLE alone)
  add_library(regroup_${name} STATIC ${sources} ${alone})
  regroup_together(regroup_${name} ALONE ${alone})
  target_include_directories(regroup_${name} PUBLIC "${CMAKE_SOURCE_DIR}/include" "${CMAKE_BINARY_DIR}/generated"
    PRIVATE "${CMAKE_SOURCE_DIR}/${ROOM_IN}")
  target_link_libraries(regroup_${name} PRIVATE regroup_flags)
  if(ROOM_TORCH)
    regroup_use_precompiled(regroup_${name} torch)
  elseif(name STREQUAL cli)
    regroup_use_precompiled(regroup_${name} cli)
  else()
    regroup_use_precompiled(regroup_${name} files)
  endif()
endfunction()

# generated/regroup/NAME.inc: REGROUP_ENTRY(x) for each of the names, in their order. A name listed once is thus
# both declared and called.
function(regroup_registry name)
  list(TRANSFORM ARGN REPLACE "(.+)" "REGROUP_ENTRY(\\1)\n" OUTPUT_VARIABLE entries)
  list(JOIN entries "" text)
  file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/generated/regroup/${name}.inc" CONTENT "${text}" @ONLY)
endfunction()

# A source made of a template in which @VARIABLE@ is the text of a file.
function(regroup_embed file variable template source)
  file(READ "${CMAKE_SOURCE_DIR}/${file}" ${variable})
  configure_file("${CMAKE_SOURCE_DIR}/${template}" "${CMAKE_BINARY_DIR}/generated/${source}" @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/${file}")
endfunction()
