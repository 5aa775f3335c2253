// From a query's text to its answer. The language is docs/reference/query-language.md.
//
// A QueryEngine belongs to one event loop (it owns that loop's plan cache); the snapshot may be shared by
// all. No exceptions leave this interface; a bad query costs its parse and an error answer, never more than
// `Limits`.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "body.h"
#include "chain.h"
#include "parameters.h"
#include "schema.h"
#include "snapshot.h"
#include "ticker.h"

namespace reflex {

class ShapeCounts;

struct Limits {
  uint32_t max_query_bytes = 1 << 20;
  uint32_t max_depth = 64;         // of braces and parentheses
  uint64_t max_rows = 10'000'000;  // rows written to one answer, all levels
  uint64_t max_answer_bytes = 1 << 30;
  uint32_t max_query_ms = 30'000;
};

class QueryEngine {
 public:
  // With `shapes`, which must outlive this object, counts there what it is asked.
  QueryEngine(const SchemaDef& schema, const Limits& limits, ShapeCounts* shapes = nullptr);
  ~QueryEngine();
  QueryEngine(const QueryEngine&) = delete;
  QueryEngine& operator=(const QueryEngine&) = delete;

  // Appends the JSON answer, or the JSON error object, to `*out` and returns the HTTP status (200, 400, 413,
  // 422). With `rest`, which is empty, a long answer goes on there.
  // kTakesLonger, and nothing in `*out`: `patience` was over, or is known not to be enough.
  // `parameters` are what stands for `$name` in the text, decoded; those it doesn't use are passed over.
  int answer(const Snapshot& snapshot, std::string_view text, Parameters parameters, std::string* out,
             Chain* rest = nullptr, Patience patience = {});
  int answer(const Snapshot& snapshot, std::string_view text, std::string* out) {
    return answer(snapshot, text, {}, out);
  }

  // The same in another shape, row by row. 200: `*out` got the first piece and `*body`, where there is more,
  // gives the rest; the body is independent of this object and of the snapshot's successors. 406: the query
  // has no answer of this shape. `patience` is for the way to the first piece; kTakesLonger as above.
  enum class Layout : uint8_t { kNdjson, kCsv, kArrow };
  int stream(SnapshotPtr snapshot, std::string_view text, Parameters parameters, Layout layout,
             std::unique_ptr<Body>* body, std::string* out, Patience patience = {});

  // Whether the query fits the schema and, where a layout is given, has an answer of that shape. Runs
  // nothing.
  bool accepts(std::string_view text, Parameters parameters, std::optional<Layout> layout);

  // The URL's parameter that leads to the page after the last answer; empty where there is none. Valid until
  // the next answer.
  std::string_view next_page() const;

  // Names of the tables that the last answer was made of. Before the next answer.
  std::set<std::string_view> tables() const;

  // A query that took longer than a thread's patience is not begun there again, until its shape is said to be
  // short after all.
  void was_short(std::string_view text);

  uint64_t plan_hits() const;
  uint64_t plan_misses() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace reflex
