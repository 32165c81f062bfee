# A model in memory.
regroup_test(model decoder_logits)
regroup_test(model decode_cache)
regroup_test(model ops)
regroup_test(model attention)
regroup_test(model activation_checkpointing)
regroup_test(model load_weights)
regroup_test(model sampling)
