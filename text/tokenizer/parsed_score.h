#pragma once

namespace regroup {

/// A number of a JSON file as the tokenizers package has it: its parser divides the digits, rounded to a double, by a power
/// of ten, which may differ from the nearest double by one unit in the last place. That decides between ways to cut a
/// word whose scores are equal. @param value  the nearest double
double parsed_score(double value);

}  // namespace regroup
