#include "query_error.h"

#include <algorithm>
#include <cassert>
#include <utility>
#include <vector>

#include "json_out.h"
#include "utf8.h"

namespace reflex {

namespace {

constexpr size_t kMaxShownBytes = 80;
constexpr size_t kMaxComparedBytes = 64;

// How many letters must be put in, left out, changed or swapped with their neighbour to get from one to the
// other, letter case aside. Both are short.
size_t edit_distance(std::string_view a, std::string_view b) {
  const auto same = [&](size_t i, size_t j) {
    return fold_case(static_cast<uint8_t>(a[i])) == fold_case(static_cast<uint8_t>(b[j]));
  };
  std::vector<size_t> before;  // the row of a[i - 2]
  std::vector<size_t> above;   // the row of a[i - 1]
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    before = std::exchange(above, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = above[j - 1] + (same(i - 1, j - 1) ? 0 : 1);
      row[j] = std::min({change, above[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && same(i - 1, j - 2) && same(i - 2, j - 1);
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

struct Position {
  size_t line = 1;
  size_t column = 1;
};

Position position_of(std::string_view query, size_t at) {
  Position position;
  for (size_t i = 0; i < std::min(at, query.size()); ++i) {
    if (query[i] == '\n') {
      ++position.line;
      position.column = 1;
    } else if (!utf8_is_continuation(query[i])) {
      ++position.column;
    }
  }
  return position;
}

}  // namespace

QueryError error_at(std::string_view code, size_t at, std::string message, std::string hint) {
  return {400, code, std::move(message), std::move(hint), true, at};
}

QueryError takes_longer() { return {kTakesLonger, "takes_longer", {}, {}, false, 0}; }

QueryError limit_error(std::string message) {
  return {422, "limit_exceeded", std::move(message), {}, false, 0};
}

void append_error(const QueryError& error, std::string_view query, std::string* out) {
  assert(!error.ok());
  out->append("{\"error\":");
  append_json_string(out, error.code);
  out->append(",\"message\":");
  append_json_string(out, error.message);
  if (error.has_position) {
    const Position position = position_of(query, error.at);
    out->append(",\"line\":").append(std::to_string(position.line));
    out->append(",\"column\":").append(std::to_string(position.column));
  }
  if (!error.hint.empty()) {
    out->append(",\"hint\":");
    append_json_string(out, error.hint);
  }
  out->push_back('}');
}

std::string quote(std::string_view name) {
  if (name.size() <= kMaxShownBytes) return "`" + std::string(name) + "`";
  size_t end = kMaxShownBytes;
  while (end > 0 && utf8_is_continuation(name[end])) --end;
  return "`" + std::string(name.substr(0, end)) + "…`";
}

std::string suggestion(std::string_view name, const std::vector<std::string_view>& known) {
  if (name.empty() || name.size() > kMaxComparedBytes) return {};
  size_t best = std::max<size_t>(1, name.size() / 3) + 1;
  std::string_view found;
  for (const std::string_view candidate : known) {
    if (candidate.size() > kMaxComparedBytes) continue;
    const size_t distance = edit_distance(name, candidate);
    if (distance < best) {
      best = distance;
      found = candidate;
    }
  }
  return found.empty() ? std::string{} : "did you mean " + quote(found) + "?";
}

}  // namespace reflex
