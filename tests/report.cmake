# The report: no LibTorch is needed to make one.
regroup_test(eval escape)
regroup_test(eval svg_chart)
regroup_test(eval report)
regroup_test(eval report_verdict)
regroup_test(eval report_hostile)
target_include_directories(escape_test PRIVATE "${CMAKE_SOURCE_DIR}/eval")
target_include_directories(svg_chart_test PRIVATE "${CMAKE_SOURCE_DIR}/eval")
target_include_directories(report_test PRIVATE "${CMAKE_SOURCE_DIR}/eval")
