# What a model is worth: scores, statistics, results.
regroup_test(eval statistics)
regroup_test(eval text_scores)
regroup_test(eval token_nll)
regroup_test(eval eval_state)
regroup_test(eval results)
regroup_test(eval scores_oracle)
regroup_test(eval published_losses LIBRARIES regroup_calibration)
regroup_test(eval published_losses_slow LIBRARIES regroup_calibration LABELS slow)
