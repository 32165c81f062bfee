#pragma once

#include <string>
#include <vector>

namespace regroup {

/// Refuses an OUT that cannot be written, before any work is done. What stands there already is no
/// matter here. Names of inputs that are "" are skipped.
/// @throws ConfigError OUTPUT_EMPTY, OUTPUT_IS_INPUT, OUTPUT_PARENT
void check_output_place(const std::string& out, const std::vector<std::string>& inputs);

/// The same for a model folder that a command creates.
/// @throws ConfigError also OUTPUT_EXISTS; with `overwrite` OUTPUT_FOREIGN for what is no such folder;
///         OutputError where its parent folder may not be written
void check_output_path(const std::string& out, const std::vector<std::string>& inputs,
                       bool overwrite);

/// What --overwrite may replace: nothing at all, an empty folder, a model folder that holds
/// what regroup made and nothing else.
/// @throws ConfigError OUTPUT_FOREIGN for anything else: it may be all that somebody has
void require_replaceable(const std::string& out);

/// Refuses a file that cannot be written, before any work is done. An input may be a model folder: what
/// is read of it must not be replaced either. An existing file that is no input may be.
/// @param flag  names the file in messages: "--out"
/// @throws ConfigError OUTPUT_EMPTY, OUTPUT_NOT_FILE, OUTPUT_PARENT, OUTPUT_IS_INPUT; OutputError
void check_output_file(const std::string& path, const std::string& flag,
                       const std::vector<std::string>& inputs);

}  // namespace regroup
