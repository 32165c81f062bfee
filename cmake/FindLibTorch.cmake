# LibTorch as imported targets, from a wheel's torch folder or an unzipped libtorch.
# find_package(Torch) of a CUDA wheel demands the CUDA toolkit; libtorch_cpu and libc10 alone do not.
#   REGROUP_TORCH_DIR   the folder that holds include/ and lib/
# gives torch::cpu.
set(REGROUP_TORCH_DIR "" CACHE PATH "A wheel's torch folder or an unzipped libtorch")
set(torch_dir "${REGROUP_TORCH_DIR}")
if(NOT torch_dir)
  set(deps "$ENV{REGROUP_DEPS_DIR}")
  if(NOT deps)
    set(deps "${CMAKE_SOURCE_DIR}/.deps")
  endif()
  set(torch_dir "${deps}/torch")
endif()
file(REAL_PATH "${torch_dir}" torch_dir)
if(NOT EXISTS "${torch_dir}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "LibTorch must be in ${torch_dir} (lib/libtorch_cpu.so is not there): run scripts/setup, "
                      "or pass -DREGROUP_TORCH_DIR= a wheel's torch folder or an unzipped libtorch")
endif()
file(STRINGS "${torch_dir}/include/torch/headeronly/version.h" torch_version_lines REGEX "define TORCH_VERSION_(MAJOR|MINOR) ")
string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*" "\\1.\\2" torch_version "${torch_version_lines}")
if(torch_version VERSION_LESS 2.11)
  message(FATAL_ERROR "LibTorch must be 2.11 or newer, found ${torch_version} in ${torch_dir}")
endif()
message(STATUS "LibTorch ${torch_version}: ${torch_dir}")

# The OpenMP runtime that libtorch_cpu itself uses: with a second one in the process its threads and
# ours would compete for the cores.
file(GLOB torch_gomp "${torch_dir}/lib/libgomp*.so*")
if(torch_gomp)
  list(GET torch_gomp 0 torch_gomp)
else()
  set(torch_gomp gomp)
endif()

find_package(Threads REQUIRED)
add_library(torch::c10 SHARED IMPORTED)
set_target_properties(torch::c10 PROPERTIES IMPORTED_LOCATION "${torch_dir}/lib/libc10.so")
set(torch_openmp -fopenmp)
if(REGROUP_SANITIZE STREQUAL "thread")
  set(torch_openmp)  # Sanitizers.cmake
endif()
add_library(torch::cpu SHARED IMPORTED)
set_target_properties(torch::cpu PROPERTIES IMPORTED_LOCATION "${torch_dir}/lib/libtorch_cpu.so"
  # -idirafter: system headers, but behind the system's own: the wheel carries a copy of fmt that must
  # not meet Debian's libfmt.
  # at::parallel_for is a template that stays on one thread without OpenMP.
  INTERFACE_COMPILE_OPTIONS "${torch_openmp};SHELL:-idirafter ${torch_dir}/include;SHELL:-idirafter ${torch_dir}/include/torch/csrc/api/include"
  INTERFACE_LINK_LIBRARIES "torch::c10;${torch_gomp};Threads::Threads"
  # libtorch_cpu finds its CUDA runtime by its own rpath; the linker need not.
  # Its folder becomes the rpath of what is built; Install.cmake says that of what is installed.
  INTERFACE_LINK_OPTIONS "-Wl,--allow-shlib-undefined")
