// From a query's text to the body of its answer in the format that its client wants. Belongs to one thread: a
// loop, or a worker for what takes longer (worker_pool.h).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "accept.h"
#include "body.h"
#include "chain.h"
#include "gzip.h"
#include "parameters.h"
#include "query.h"

namespace reflex::net {

// A query as its client asks for it. Borrows.
struct Asked {
  std::string_view text;
  Parameters parameters;
  Preference formats;  // at least one
  bool gzip = false;   // the client takes it
};

struct Answered {
  int status = 200;  // or kTakesLonger
  Format format = Format::kJson;
  bool gzip = false;
  std::unique_ptr<Body> body;  // what is still to be made
  Chain rest;                  // of a long body, behind what was appended
  std::string event_id;        // of Format::kEvents, whose body is the answer as JSON
};

class QueryRunner {
 public:
  // `shapes`, where the queries are counted, may be null: a long query was counted by its loop.
  QueryRunner(const SchemaDef& schema, const Limits& limits, ShapeCounts* shapes = nullptr)
      : engine_(schema, limits, shapes) {}

  // Appends the body's beginning to `*out`, in the first of the wanted formats that the query has a form in.
  // Errors come as JSON.
  Answered run(const SnapshotPtr& snapshot, const Asked& asked, Patience patience, std::string* out);

  // Whether the query has an answer in that format, as far as its text tells. Runs nothing.
  bool accepts(Format format, const Asked& asked);

  // Of the last answer; valid until the next.
  std::string_view next_page() const { return engine_.next_page(); }
  QueryEngine& engine() { return engine_; }

 private:
  int run_as(Format format, const SnapshotPtr& snapshot, const Asked& asked, Patience patience, Answered* to,
             std::string* out);

  QueryEngine engine_;
  Gzip gzip_;
};

}  // namespace reflex::net
