# REGROUP_SANITIZE: what regroup_flags adds, and with what its tests run. LibTorch itself is never instrumented.
if(REGROUP_SANITIZE STREQUAL "address")
  set(sanitizers address,undefined)
  # Virtual tables of LibTorch come without the type information that this check reads. The file layer does without it too:
  # the same options make the same objects, which ccache has from one preset when another wants them.
  set(sanitizer_options -fno-sanitize=vptr)
  set(torch_room_options -O1)  # their tests train models
  if(REGROUP_TORCH)
    set(REGROUP_TEST_ENVIRONMENT
      # Vectors that LibTorch has filled are not annotated.
      "ASAN_OPTIONS=detect_container_overflow=0"
      "LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/cmake/lsan.supp:print_suppressions=0")
  endif()
elseif(REGROUP_SANITIZE STREQUAL "thread")
  set(sanitizers thread)
  # TSan does not see how libgomp's threads wait for each other: at::parallel_for runs on threads of its own,
  # and LibTorch on one.
  add_compile_options(-Wno-unknown-pragmas)
  include_directories(BEFORE SYSTEM "${CMAKE_SOURCE_DIR}/cmake/tsan")
  # report_mutex_bugs: LibTorch takes its locks unseen, and its headers give them back in our code.
  set(REGROUP_TEST_ENVIRONMENT "OMP_NUM_THREADS=1"
    "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/cmake/tsan.supp:halt_on_error=1:report_mutex_bugs=0")
elseif(REGROUP_SANITIZE)
  message(FATAL_ERROR "REGROUP_SANITIZE must be address or thread, found ${REGROUP_SANITIZE}")
endif()
if(REGROUP_SANITIZE)
  # g++ 12 raises false alarms in instrumented fmt and under TSan in fences.
  target_compile_options(regroup_flags INTERFACE -fsanitize=${sanitizers} ${sanitizer_options} -fno-sanitize-recover=all
    -fno-omit-frame-pointer -Wno-maybe-uninitialized $<$<STREQUAL:${REGROUP_SANITIZE},thread>:-Wno-tsan>)
  target_link_options(regroup_flags INTERFACE -fsanitize=${sanitizers})
endif()
