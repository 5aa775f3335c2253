#include "query.h"

#include <algorithm>

#include "answer_rows.h"
#include "arrow_body.h"
#include "bind.h"
#include "exec.h"
#include "json_out.h"
#include "parser.h"
#include "plan_cache.h"
#include "profile.h"
#include "query_shapes.h"
#include "text_bodies.h"

namespace reflex {

namespace {

// Parsing alone of a longer text may take more than others should wait for.
constexpr size_t kLongText = 32 << 10;

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
  bool hit = false;                     // the last query's plan was known
  Plan* kept = nullptr;                 // the last query's, as the cache has it
  const Plan* last = nullptr;           // the last answer's, where that came whole
  std::set<std::string_view> streamed;  // else its tables
  ShapeCounts* shapes = nullptr;

  uint32_t shape_place(const Plan& plan) {
    return shapes == nullptr ? 0 : shapes->place_of(shape_of(schema, plan));
  }

  QueryError plan_for(std::string_view text, Parameters parameters, const Plan** out) {
    shape.scan(text);
    Plan* const same_shape = cache.find(shape.key());
    kept = nullptr;
    if (same_shape != nullptr && rebind(shape.literals(), same_shape)) {
      kept = same_shape;
    } else if (!shape.literals().empty()) {
      kept = cache.find(text);
    }
    if (kept != nullptr) {
      ++hits;
      hit = true;
      *out = kept;
      return is_bound(*kept, parameters) ? QueryError{} : bind_again(parameters, out);
    }
    ++misses;
    hit = false;
    auto query = std::make_unique<ast::Query>();
    QueryError error = parse_query(text, limits.max_depth, query.get());
    if (!error.ok()) return error;
    Plan plan;
    error = bind_query(schema, *query, parameters, &plan);
    if (!error.ok()) return error;
    const bool shared = plan.further.empty() && plan.root.page == nullptr && !query->has_parameters &&
                        fit_to_shape(shape.literals(), &plan);
    if (!shared) plan.sites.clear();
    plan.shape = shape_place(plan);
    if (query->has_parameters || plan.root.page != nullptr) plan.unbound = std::move(query);
    kept = same_shape != nullptr ? cache.hold(std::move(plan))
                                 : cache.add(shared ? shape.key() : text, std::move(plan));
    *out = kept;
    return {};
  }

  // Whether the plan is the one for these values. Any page can be asked for by the URL's `after`.
  static bool is_bound(const Plan& plan, Parameters parameters) {
    if (plan.unbound == nullptr) return true;
    const bool begins = plan.root.page != nullptr && !plan.root.page->from_url;
    return !plan.unbound->has_parameters && parameters.empty() && begins;
  }

  // What the values are decides how rows are found, so only the parsing is saved.
  QueryError bind_again(Parameters parameters, const Plan** out) {
    bound = Plan{};
    QueryError error = bind_query(schema, *(*out)->unbound, parameters, &bound);
    bound.shape = (*out)->shape;
    *out = &bound;
    return error;
  }

  QueryError too_large() const {
    return {413,
            "query_too_large",
            "The query is longer than the " + std::to_string(limits.max_query_bytes) + " bytes allowed.",
            {},
            false,
            0};
  }

  QueryError stream(SnapshotPtr snapshot, std::string_view text, Parameters parameters,
                    QueryEngine::Layout layout, std::unique_ptr<Body>* body, std::string* out,
                    Patience patience);

  bool accepts(std::string_view text, Parameters parameters, std::optional<QueryEngine::Layout> layout);

  // Runs the query as ever, and throws its answer away.
  QueryError explain(const Snapshot& snapshot, const Plan& plan, Patience patience, std::string* out) {
    Profile profile;
    std::string thrown_away;
    writer.start(&thrown_away);
    QueryError error = run_plan(schema, snapshot, plan, limits, &scratch, &writer, &next, patience, &profile);
    next.clear();
    if (error.ok()) *out += explanation(schema, snapshot, plan, profile, writer.written(), hit);
    writer.forget();
    return error;
  }

  QueryError answer(const Snapshot& snapshot, std::string_view text, Parameters parameters, std::string* out,
                    Chain* rest, Patience patience) {
    if (text.size() > limits.max_query_bytes) return too_large();
    if (patience.ns != 0 && text.size() > kLongText) return takes_longer();
    next.clear();
    last = nullptr;
    streamed.clear();
    const Plan* plan = nullptr;
    QueryError error = plan_for(text, parameters, &plan);
    if (!error.ok()) return error;
    last = plan;
    if (shapes != nullptr && !plan->explained) shapes->count(plan->shape);
    if (patience.ns != 0 && kept->slow) return takes_longer();
    if (plan->explained) {
      error = explain(snapshot, *plan, patience, out);
    } else {
      writer.start(out, rest);
      error = run_plan(schema, snapshot, *plan, limits, &scratch, &writer, &next, patience);
      if (error.ok()) writer.finish();
    }
    if (error.status == kTakesLonger) kept->slow = true;
    return error;
  }
};

namespace {

QueryError shapeless(std::string message, size_t at) {
  QueryError error =
      error_at("not_acceptable", at, std::move(message), "application/json has a form for every answer");
  error.status = 406;
  return error;
}

// Why the query has no answer of that shape.
QueryError check_layout(const ast::Query& query, const Plan& plan, QueryEngine::Layout layout) {
  if (plan.explained) return shapeless("What EXPLAIN tells comes as JSON only.", 0);
  if (query.selections.size() > 1) {
    return shapeless("Several selections come as JSON only.", query.selections[1].name.at);
  }
  if (layout == QueryEngine::Layout::kNdjson) return {};
  const ast::Selection& selection = query.selections[0];
  for (size_t i = 0; i < plan.root.fields.size(); ++i) {
    const PlanField& field = plan.root.fields[i];
    if (field.selection == nullptr) continue;
    size_t at = selection.name.at;
    for (const ast::Field& asked : selection.fields) {
      if (asked.key.text == field.name) at = asked.key.at;
    }
    return shapeless("This format has columns only, and " + quote(field.name) + " is a relation.", at);
  }
  if (plan.root.fields.empty() && plan.root.grouping == nullptr) {
    return shapeless("This format needs a column, and none is selected.", selection.name.at);
  }
  return {};
}

}  // namespace

QueryError QueryEngine::Impl::stream(SnapshotPtr snapshot, std::string_view text, Parameters parameters,
                                     QueryEngine::Layout layout, std::unique_ptr<Body>* body,
                                     std::string* out, Patience patience) {
  next.clear();
  last = nullptr;
  if (text.size() > limits.max_query_bytes) return too_large();
  if (patience.ns != 0 && text.size() > kLongText) return takes_longer();
  auto query = std::make_unique<ast::Query>();
  QueryError error = parse_query(text, limits.max_depth, query.get());
  if (!error.ok()) return error;
  auto plan = std::make_unique<Plan>();
  error = bind_query(schema, *query, parameters, plan.get());
  if (error.ok()) error = check_layout(*query, *plan, layout);
  if (!error.ok()) return error;
  if (shapes != nullptr) shapes->count(shape_place(*plan));
  streamed = tables_of(schema, *plan);
  auto rows = std::make_unique<AnswerRows>(schema, std::move(snapshot), std::move(query), std::move(plan),
                                           limits, patience);
  const AnswerRows& known = *rows;
  std::unique_ptr<Body> made = layout == QueryEngine::Layout::kNdjson ? ndjson_body(std::move(rows))
                               : layout == QueryEngine::Layout::kCsv  ? csv_body(std::move(rows))
                                                                      : arrow_body(std::move(rows));
  const Body::State state = made->next(out);
  if (state == Body::State::kFailed) return known.error();
  next = known.next_page();
  if (state == Body::State::kMore) *body = std::move(made);
  return {};
}

bool QueryEngine::Impl::accepts(std::string_view text, Parameters parameters,
                                std::optional<QueryEngine::Layout> layout) {
  if (text.size() > limits.max_query_bytes) return false;
  const Plan* plan = nullptr;
  if (!layout) return plan_for(text, parameters, &plan).ok();
  ast::Query query;
  Plan made;
  return parse_query(text, limits.max_depth, &query).ok() &&
         bind_query(schema, query, parameters, &made).ok() && check_layout(query, made, *layout).ok();
}

bool QueryEngine::accepts(std::string_view text, Parameters parameters, std::optional<Layout> layout) {
  try {
    return impl_->accepts(text, parameters, layout);
  } catch (const std::bad_alloc&) {
    return false;  // running it says so too
  }
}

int QueryEngine::stream(SnapshotPtr snapshot, std::string_view text, Parameters parameters, Layout layout,
                        std::unique_ptr<Body>* body, std::string* out, Patience patience) {
  const size_t before = out->size();
  QueryError error;
  try {
    error = impl_->stream(std::move(snapshot), text, parameters, layout, body, out, patience);
    if (error.ok()) return 200;
  } catch (const std::bad_alloc&) {
    error = limit_error("The query needs more memory than the instance has left.");
  }
  out->resize(before);
  if (error.status != kTakesLonger) append_error(error, text, out);
  return error.status;
}

QueryEngine::QueryEngine(const SchemaDef& schema, const Limits& limits, ShapeCounts* shapes)
    : impl_(new Impl{schema, limits, {}, {}, {}, {}, {}, {}, 0, 0, false, nullptr, nullptr, {}, shapes}) {
  impl_->limits.max_depth = std::clamp(limits.max_depth, 1u, kMostLevels);
}

QueryEngine::~QueryEngine() = default;

int QueryEngine::answer(const Snapshot& snapshot, std::string_view text, Parameters parameters,
                        std::string* out, Chain* rest, Patience patience) {
  const size_t before = out->size();
  const auto take_back = [&] {
    out->resize(before);
    if (rest != nullptr) rest->clear();
  };
  try {
    const QueryError error = impl_->answer(snapshot, text, parameters, out, rest, patience);
    if (error.ok()) return 200;
    take_back();
    if (error.status != kTakesLonger) append_error(error, text, out);
    return error.status;
  } catch (const std::bad_alloc&) {  // the one exception that can come from below
    take_back();
    append_error(limit_error("The query needs more memory than the instance has left."), text, out);
    return 422;
  }
}

std::string_view QueryEngine::next_page() const { return impl_->next; }

std::set<std::string_view> QueryEngine::tables() const {
  return impl_->last != nullptr ? tables_of(impl_->schema, *impl_->last) : impl_->streamed;
}

void QueryEngine::was_short(std::string_view text) {
  impl_->shape.scan(text);
  for (const std::string_view key : {impl_->shape.key(), text}) {
    if (Plan* const plan = impl_->cache.find(key)) plan->slow = false;
  }
}

uint64_t QueryEngine::plan_hits() const { return impl_->hits; }

uint64_t QueryEngine::plan_misses() const { return impl_->misses; }

}  // namespace reflex
