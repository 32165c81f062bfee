# The inputs of tests/fuzz without libFuzzer, by any compiler.
add_library(regroup_fuzz STATIC
  fuzz/config_fuzz.cpp
  fuzz/parquet_fuzz.cpp
  fuzz/safetensors_fuzz.cpp
  fuzz/tokenizer_fuzz.cpp
  fuzz/torch_fuzz.cpp)
target_include_directories(regroup_fuzz PRIVATE "${CMAKE_SOURCE_DIR}/checkpoint" "${CMAKE_SOURCE_DIR}/text")
target_link_libraries(regroup_fuzz PUBLIC regroup_test_support PRIVATE regroup_flags)
regroup_test(fuzz regression)
