# The threads of a conversion, without LibTorch: TSan can follow all of them.
regroup_test(convert stream)
target_include_directories(stream_test PRIVATE "${CMAKE_SOURCE_DIR}/convert")
