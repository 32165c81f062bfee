#include "sections/positions.h"

#include <fmt/format.h>

#include <algorithm>

#include "sections/models.h"

namespace regroup {
namespace {

/// Rows whose windows are cut into the same bands as the first's: others have no column.
std::vector<ProfileRow> comparable(const std::vector<ProfileRow>& rows) {
  std::vector<ProfileRow> same;
  for (const ProfileRow& row : rows) {
    const auto& bands = row.profile->positions;
    if (bands.empty()) continue;
    const auto& first = same.empty() ? bands : same.front().profile->positions;
    const bool alike = std::equal(
        bands.begin(), bands.end(), first.begin(), first.end(),
        [](const auto& a, const auto& b) { return a.first == b.first && a.end == b.end; });
    if (alike) same.push_back(row);
  }
  return same;
}

std::string worst_text(const DamageProfile& profile) {
  if (profile.worst.empty()) return kNothing;
  return fmt::format("{} → {}", short_number(profile.worst.front().loss_before),
                     short_number(profile.worst.front().loss));
}

std::string worst_note(const DamageProfile& profile) {
  if (profile.worst.empty()) return "";
  std::string note =
      fmt::format("from token {}", grouped_digits(profile.worst.front().first_token));
  if (profile.collapsed > 0) {
    note += fmt::format("; {} of {} windows collapsed", profile.collapsed, profile.windows);
  }
  return note;
}

Table position_table(const std::string& conditions, const std::vector<ProfileRow>& rows) {
  const DamageProfile& first = *rows.front().profile;
  Table table{.caption = "Loss − before by position in the window: " + conditions,
              .columns = {{"Model"}},
              .rows = {}};
  for (size_t band = 0; band < first.positions.size(); ++band) {
    table.columns.push_back({"Position " + band_text(first, band), ColumnKind::kNumber});
  }
  table.columns.push_back({"Worst window", ColumnKind::kNumber});
  for (const ProfileRow& row : rows) {
    std::vector<Cell> cells = {row.label};
    for (const PositionDamage& band : row.profile->positions) {
      cells.push_back({fmt::format("{:+.3f}", band.loss_delta)});
    }
    cells.push_back({.text = worst_text(*row.profile), .note = worst_note(*row.profile)});
    table.rows.push_back(std::move(cells));
  }
  std::vector<Cell> counts = {{"tokens scored"}};
  for (const PositionDamage& band : first.positions)
    counts.push_back({grouped_digits(band.tokens)});
  counts.push_back({fmt::format("{} windows", grouped_digits(first.windows))});
  table.rows.push_back(std::move(counts));
  return table;
}

/// Rows of one role, such as methods, differ by colour.
void style_by_place(size_t place, ChartSeries& series) {
  constexpr Marker kMarkers[] = {Marker::kCircle, Marker::kTriangle, Marker::kSquare,
                                 Marker::kDiamond};
  series.colour = static_cast<int>(place % 5) + 1;
  series.marker = kMarkers[(place + place / 5) % 4];
  series.dashed = place >= 5;
}

Figure position_figure(const std::vector<ProfileRow>& rows) {
  LineChart chart{.title = "Damage by position in the window",
                  .x_label = "position, up to (logarithmic)",
                  .y_label = "loss − before (nats a token)",
                  .x_format = AxisFormat::kCount,
                  .log_x = true};
  for (const PositionDamage& band : rows.front().profile->positions) {
    chart.x_ticks.push_back(static_cast<double>(band.end));
  }
  const bool one_role = std::all_of(rows.begin(), rows.end(), [&](const ProfileRow& row) {
    return row.label.role == rows.front().label.role;
  });
  RoleStyles styles;
  for (size_t r = 0; r < rows.size(); ++r) {
    ChartSeries series{.name = rows[r].name};
    if (one_role) {
      style_by_place(r, series);
    } else {
      styles.apply(rows[r].label.role, series);
    }
    for (size_t band = 0; band < rows[r].profile->positions.size(); ++band) {
      const PositionDamage& of = rows[r].profile->positions[band];
      series.points.push_back({static_cast<double>(of.end), of.loss_delta,
                               fmt::format("{}, positions {}: {:+.3f}", rows[r].name,
                                           band_text(*rows[r].profile, band), of.loss_delta)});
    }
    chart.series.push_back(std::move(series));
  }
  return {.chart = std::move(chart),
          .caption = "How much worse a token is predicted, by how many come before it.",
          .numbers = {},
          .repeats_table = true};
}

}  // namespace

void add_positions(const std::string& conditions, const std::vector<ProfileRow>& rows,
                   Section& section) {
  const std::vector<ProfileRow> shown = comparable(rows);
  if (shown.empty()) return;
  section.blocks.push_back(position_table(conditions, shown));
  if (shown.front().profile->positions.size() >= 3)
    section.blocks.push_back(position_figure(shown));
}

}  // namespace regroup
