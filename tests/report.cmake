# The report: no LibTorch is needed to make one.
regroup_test(report escape)
regroup_test(report svg_chart)
regroup_test(report report)
regroup_test(report report_verdict)
regroup_test(report report_questions)
regroup_test(report report_recovery)
regroup_test(report report_hostile)
regroup_test(report report_tasks)
