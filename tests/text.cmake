# Tokenizers, documents, token files.
regroup_test(text added_tokens)
regroup_test(text chat_template)
regroup_test(text documents)
regroup_test(text token_file)
regroup_test(text tokenizer)
regroup_test(text tokenizer_files)
regroup_test(text tokenizer_json)
regroup_test(text text_source LIBRARIES PkgConfig::ZLIB PkgConfig::ZSTD)
if(NOT REGROUP_SANITIZE)  # every character of Unicode, many times
  regroup_test(text tokenizer_json_oracle TIMEOUT 1800 LABELS slow)
endif()
