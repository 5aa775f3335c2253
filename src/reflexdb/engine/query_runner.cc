#include "query_runner.h"

#include <optional>

#include "live_query.h"
#include "representation.h"

namespace reflex::net {

namespace {

// A loop has no patience for the digest of a longer answer.
constexpr size_t kDigestedAtOnce = 128 << 10;

}  // namespace

int QueryRunner::run_as(Format format, const SnapshotPtr& snapshot, const Asked& asked, Patience patience,
                        Answered* to, std::string* out) {
  if (format == Format::kNdjson || format == Format::kCsv || format == Format::kArrow) {
    const auto layout = static_cast<QueryEngine::Layout>(static_cast<int>(format) - 1);
    return engine_.stream(snapshot, asked.text, asked.parameters, layout, &to->body, out, patience);
  }
  // What is compressed or made an event of has to be in one piece.
  Chain* const rest = asked.gzip || format == Format::kEvents ? nullptr : &to->rest;
  const size_t at = out->size();
  const int status = engine_.answer(*snapshot, asked.text, asked.parameters, out, rest, patience);
  if (status != 200 || format != Format::kEvents) return status;
  if (patience.ns != 0 && out->size() - at > kDigestedAtOnce) {
    out->resize(at);
    return kTakesLonger;
  }
  to->event_id = event_id(std::string_view(*out).substr(at));
  return status;
}

bool QueryRunner::accepts(Format format, const Asked& asked) {
  const bool columns = format == Format::kNdjson || format == Format::kCsv || format == Format::kArrow;
  const auto layout =
      columns ? std::optional(static_cast<QueryEngine::Layout>(static_cast<int>(format) - 1)) : std::nullopt;
  return engine_.accepts(asked.text, asked.parameters, layout);
}

Answered QueryRunner::run(const SnapshotPtr& snapshot, const Asked& asked, Patience patience,
                          std::string* out) {
  const size_t at = out->size();
  Answered answer;
  for (size_t i = 0; i < asked.formats.count; ++i) {
    out->resize(at);
    answer.format = asked.formats.formats[i];
    answer.status = run_as(answer.format, snapshot, asked, patience, &answer, out);
    if (answer.status != 406) break;
  }
  if (answer.status != 200) answer.format = Format::kJson;
  if (asked.gzip && answer.status == 200 && answer.format != Format::kEvents) {
    compress(&gzip_, at, &answer, out);
  }
  return answer;
}

}  // namespace reflex::net
