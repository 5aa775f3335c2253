#include "query.h"

#include <algorithm>

#include "bind.h"
#include "exec.h"
#include "json_out.h"
#include "parser.h"
#include "plan_cache.h"

namespace reflex {

namespace {

// Parsing, binding and running recurse once a level; this many fit a thread's stack many times over.
constexpr uint32_t kMostLevels = 1000;

}  // namespace

struct QueryEngine::Impl {
  const SchemaDef& schema;
  Limits limits;
  PlanCache cache;
  Shape shape;
  Scratch scratch;
  Writer writer;
  std::string next;
  Plan bound;  // of the last query with parameters
  uint64_t hits = 0;
  uint64_t misses = 0;

  QueryError plan_for(std::string_view text, Parameters parameters, const Plan** out) {
    shape.scan(text);
    Plan* const same_shape = cache.find(shape.key());
    bool found = same_shape != nullptr && rebind(shape.literals(), same_shape);
    if (found) {
      *out = same_shape;
    } else if (!shape.literals().empty()) {
      *out = cache.find(text);
      found = *out != nullptr;
    }
    if (found) {
      ++hits;
      return (*out)->unbound == nullptr ? QueryError{} : bind_again(parameters, out);
    }
    ++misses;
    auto query = std::make_unique<ast::Query>();
    QueryError error = parse_query(text, limits.max_depth, query.get());
    if (!error.ok()) return error;
    Plan plan;
    error = bind_query(schema, *query, parameters, &plan);
    if (!error.ok()) return error;
    const bool shared = plan.further.empty() && plan.root.page == nullptr && !query->has_parameters &&
                        fit_to_shape(shape.literals(), &plan);
    if (!shared) plan.sites.clear();
    if (query->has_parameters) plan.unbound = std::move(query);
    if (same_shape != nullptr) {
      *out = cache.hold(std::move(plan));
    } else {
      *out = cache.add(shared ? shape.key() : text, std::move(plan));
    }
    return {};
  }

  // What the values are decides how rows are found, so only the parsing is saved.
  QueryError bind_again(Parameters parameters, const Plan** out) {
    bound = Plan{};
    QueryError error = bind_query(schema, *(*out)->unbound, parameters, &bound);
    *out = &bound;
    return error;
  }

  QueryError answer(const Snapshot& snapshot, std::string_view text, Parameters parameters,
                    std::string* out) {
    if (text.size() > limits.max_query_bytes) {
      return {413,
              "query_too_large",
              "The query is longer than the " + std::to_string(limits.max_query_bytes) + " bytes allowed.",
              {},
              false,
              0};
    }
    next.clear();
    const Plan* plan = nullptr;
    QueryError error = plan_for(text, parameters, &plan);
    if (!error.ok()) return error;
    writer.start(out);
    error = run_plan(schema, snapshot, *plan, limits, &scratch, &writer, &next);
    if (error.ok()) writer.finish();
    return error;
  }
};

QueryEngine::QueryEngine(const SchemaDef& schema, const Limits& limits)
    : impl_(new Impl{schema, limits, {}, {}, {}, {}, {}, {}, 0, 0}) {
  impl_->limits.max_depth = std::clamp(limits.max_depth, 1u, kMostLevels);
}

QueryEngine::~QueryEngine() = default;

int QueryEngine::answer(const Snapshot& snapshot, std::string_view text, Parameters parameters,
                        std::string* out) {
  const size_t before = out->size();
  try {
    const QueryError error = impl_->answer(snapshot, text, parameters, out);
    if (error.ok()) return 200;
    out->resize(before);
    append_error(error, text, out);
    return error.status;
  } catch (const std::bad_alloc&) {  // the one exception that can come from below
    out->resize(before);
    append_error(limit_error("The query needs more memory than the instance has left."), text, out);
    return 422;
  }
}

std::string_view QueryEngine::next_page() const { return impl_->next; }

uint64_t QueryEngine::plan_hits() const { return impl_->hits; }

uint64_t QueryEngine::plan_misses() const { return impl_->misses; }

}  // namespace reflex
