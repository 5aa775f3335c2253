// Runs a bound plan over a snapshot and writes the answer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "json_out.h"
#include "plan.h"
#include "profile.h"
#include "query.h"
#include "query_error.h"
#include "rows.h"
#include "schema.h"
#include "store.h"
#include "ticker.h"

namespace reflex {

// Appends the answer to what `writer` was started with, or returns limit_exceeded or takes_longer; then what
// was written is to be thrown away. Sets `*next` to where the next page starts, or leaves it empty. With a
// `profile`, counts into it.
QueryError run_plan(const SchemaDef& schema, const Snapshot& snapshot, const Plan& plan, const Limits& limits,
                    Scratch* scratch, Writer* writer, std::string* next, Patience patience,
                    Profile* profile = nullptr);

// Writes single rows of a plan's outermost selection, for those who find the rows themselves. Borrows all it
// is given.
class RowWriter {
 public:
  RowWriter(const SchemaDef& schema, const Snapshot& snapshot, const Plan& plan, const Limits& limits,
            Scratch* scratch, Writer* writer);
  ~RowWriter();

  // Appends the row as a JSON object, or says which limit it went over: each row has them for itself.
  QueryError write(uint32_t row);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace reflex
