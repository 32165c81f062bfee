# The headers of libraries, compiled once for all sources that would parse them: model/blocks/attention.cpp takes 19 s instead of 33.
# A source still includes what it uses; the presets tsan and fuzz do without them, and what they build would not compile.
option(REGROUP_PRECOMPILED_HEADERS "Compile the headers of libraries once" ON)

set(headers_files <algorithm> <array> <charconv> <chrono> <cmath> <filesystem> <fstream> <functional> <map> <memory>
  <numeric> <optional> <set> <span> <string> <string_view> <unordered_map> <unordered_set> <utility> <variant> <vector>
  <fmt/format.h> <nlohmann/json.hpp>)
set(headers_cli ${headers_files} <CLI/CLI.hpp> <spdlog/spdlog.h>)
set(headers_test ${headers_files} <gtest/gtest.h>)
set(headers_torch <fmt/format.h> <nlohmann/json.hpp> <ATen/core/Tensor.h> <ATen/Parallel.h> <ATen/ops/arange.h>
  <ATen/ops/cat.h> <ATen/ops/empty.h> <ATen/ops/from_blob.h> <ATen/ops/full_like.h> <ATen/ops/linear.h>
  <ATen/ops/log_softmax.h> <ATen/ops/matmul.h> <ATen/ops/ones.h> <ATen/ops/stack.h> <ATen/ops/tensor.h>
  <ATen/ops/zeros.h> <ATen/ops/zeros_like.h> <c10/core/GradMode.h> <c10/core/InferenceMode.h>
  <torch/csrc/autograd/custom_function.h>)
set(headers_torch_test ${headers_test} ${headers_torch})

# regroup_precompiled(NAME LIBRARIES...): headers_NAME, for regroup_use_precompiled(TARGET NAME)
function(regroup_precompiled name)
  if(REGROUP_PRECOMPILED_HEADERS)
    set(source "${CMAKE_BINARY_DIR}/generated/precompiled_${name}.cpp")
    file(GENERATE OUTPUT "${source}" CONTENT "")
    add_library(regroup_precompiled_${name} OBJECT "${source}")
    target_link_libraries(regroup_precompiled_${name} PRIVATE regroup_flags fmt::fmt nlohmann_json::nlohmann_json ${ARGN})
    regroup_optimise_torch(regroup_precompiled_${name} ${name})
    if(name MATCHES "test$")  # for sources of programs
      set_target_properties(regroup_precompiled_${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
      target_compile_options(regroup_precompiled_${name} PRIVATE -fPIE)
    endif()
    target_precompile_headers(regroup_precompiled_${name} PRIVATE ${headers_${name}})
  endif()
endfunction()

# A header and the sources that use it are optimised alike, with or without precompiling.
function(regroup_optimise_torch target name)
  if(name STREQUAL torch)
    target_compile_options(${target} PRIVATE ${torch_room_options})
  endif()
endfunction()

function(regroup_use_precompiled target name)
  regroup_optimise_torch(${target} ${name})
  if(REGROUP_PRECOMPILED_HEADERS)
    target_precompile_headers(${target} REUSE_FROM regroup_precompiled_${name})
    # for ccache; and what g++ 12 says of std::string once its headers are precompiled (GCC bug 105329)
    target_compile_options(${target} PRIVATE -fpch-preprocess -Wno-array-bounds -Wno-stringop-overflow)
  endif()
endfunction()
