#include "endpoints.h"

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <vector>

#include "health.h"
#include "json_doc.h"
#include "openapi.h"
#include "representation.h"
#include "stale_tables.h"
#include "table_metrics.h"

namespace reflex::net {
namespace {

enum class Path : uint8_t { kQuery, kHealth, kReady, kMetrics, kOpenapi, kNone };

Path find_path(std::string_view path) {
  if (path == "/query") return Path::kQuery;
  if (path == "/health") return Path::kHealth;
  if (path == "/ready") return Path::kReady;
  if (path == "/metrics") return Path::kMetrics;
  if (path == "/openapi.json") return Path::kOpenapi;
  return Path::kNone;
}

bool is_read(Method method) { return method == Method::kGet || method == Method::kHead; }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// As forms encode: %XX is a byte, + a space. False: a % without two digits.
bool decode(std::string_view text, std::string* out) {
  out->clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      *out += ' ';
    } else if (text[i] == '%') {
      if (i + 2 >= text.size()) return false;
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return false;
      *out += static_cast<char>(high << 4 | low);
      i += 2;
    } else {
      *out += text[i];
    }
  }
  return true;
}

// The only parameter `q`, still encoded. How many there are is the answer.
int find_q(std::string_view query, std::string_view* value) {
  int found = 0;
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    if (pair.starts_with("q=")) {
      *value = pair.substr(2);
      ++found;
    }
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return found;
}

// A name=value pair of the URL, decoded.
struct Pair {
  std::string name;
  std::string value;
};

// Every pair but q. False: a % without two digits.
bool decode_pairs(std::string_view query, std::vector<Pair>* out) {
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const size_t equals = std::min(pair.find('='), pair.size());
    Pair one;
    if (!decode(pair.substr(0, equals), &one.name)) return false;
    if (one.name.empty() || one.name == "q") continue;
    if (!decode(pair.substr(std::min(equals + 1, pair.size())), &one.value)) return false;
    out->push_back(std::move(one));
  }
  return true;
}

// Whether there may be the parameter `after`, which needs no place in the query's text.
bool asks_for_page(std::string_view query) {
  return query.starts_with("after=") || query.find("&after=") != std::string_view::npos;
}

// What finds room in an answer's head; a link is not sent with a longer cursor or with more parameters.
constexpr size_t kMaxCursor = 512;
constexpr size_t kMaxOthers = 512;

// How long a client of a live answer is asked to wait before it connects again.
constexpr int64_t kRetryMs = 500;
constexpr int64_t kRetrySpreadMs = 4'500;

// What the link to the next page repeats: the pairs but the page's own, as they came, each behind a `&`.
// False where they are too long, or have a character that is none of a URL and might end the link: there is
// no link then.
bool other_pairs(std::string_view query, std::string_view own, std::string* out) {
  std::string& kept = *out;
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    std::string name;
    if (pair.empty() || !decode(pair.substr(0, pair.find('=')), &name) || name == own) continue;
    kept.append("&").append(pair);
  }
  const auto odd = [](char c) { return c <= ' ' || c > '~' || c == '<' || c == '>' || c == '"'; };
  return kept.size() <= kMaxOthers && std::ranges::none_of(kept, odd);
}

Reply unauthorized(std::string* out) {
  return Endpoints::error(401, "unauthorized",
                          "A valid API key is needed: Authorization: Bearer rxk_<keyId>.<hmac>.", out);
}

}  // namespace

Endpoints::Endpoints(Instance& instance, LoopStats& stats, Mailbox* mailbox)
    : instance_(instance),
      stats_(stats),
      runner_(instance.schema, instance.options.limits, &stats.shapes),
      mailbox_(mailbox),
      openapi_(openapi_document(instance.schema)) {}

Reply Endpoints::error(int status, std::string_view code, std::string_view message, std::string* out) {
  *out += "{\"error\":";
  append_quoted(out, code);
  *out += ",\"message\":";
  append_quoted(out, message);
  *out += '}';
  Reply reply;
  reply.status = status;
  return reply;
}

void Endpoints::refresh() {
  if (instance_.publication.epoch() == view_.epoch) [[likely]]
    return;
  view_ = instance_.publication.view();
  served_.refresh(view_);
}

bool Endpoints::admitted(const HttpRequest& request) const {
  return request.has_authorization && admits(request.authorization);
}

bool Endpoints::admits(std::string_view authorization) const {
  return view_.keys != nullptr && view_.keys->admits(authorization, coarse_wall_ms());
}

bool Endpoints::refuse_early(const HttpRequest& request, Reply* reply, std::string* out) {
  refresh();
  const Path path = find_path(request.path);
  if (path == Path::kQuery && request.method != Method::kOther) {
    if (admitted(request)) return false;
    *reply = unauthorized(out);
    return true;
  }
  // Nothing else has use for a body: whatever the answer is, it can be given now.
  *reply = answer(request, out, nullptr, nullptr, 0);
  return true;
}

Reply Endpoints::answer(const HttpRequest& request, std::string* out, std::unique_ptr<PositionWait>* wait,
                        LongQueryPtr* longer, int64_t now_ms) {
  refresh();
  if (longer != nullptr && *longer != nullptr) return arrived(request, longer->get(), out);
  const Path path = find_path(request.path);
  if (path == Path::kNone) {
    return error(404, "not_found", "There is /query, /health, /ready, /metrics and /openapi.json.", out);
  }
  const bool allowed = is_read(request.method) || (path == Path::kQuery && request.method == Method::kPost);
  if (!allowed) {
    Reply reply = error(405, "method_not_allowed",
                        "This path does not have this method; Allow lists those it has.", out);
    reply.allow = path == Path::kQuery ? "GET, HEAD, POST" : "GET, HEAD";
    return reply;
  }
  Reply reply;
  switch (path) {
    case Path::kQuery:
      if (request.has_min_position && await_position(request, out, wait, now_ms, &reply)) return reply;
      return query(request, longer, out);
    case Path::kHealth:
      reply.status = append_health(instance_, false, out);
      return reply;
    case Path::kReady:
      if (view_.snapshot == nullptr) return error(503, "not_ready", "No snapshot has been loaded yet.", out);
      *out += "{\"status\":\"ready\"}";
      return reply;
    case Path::kMetrics:
      reply.type = ContentType::kText;
      append_metrics(instance_, out);
      if (view_.snapshot != nullptr && admitted(request))
        append_table_metrics(instance_, *view_.snapshot, out);
      return reply;
    case Path::kOpenapi:
      if (!admitted(request)) return unauthorized(out);
      *out += openapi_;
      reply.varies = true;
      return reply;
    case Path::kNone:
      break;
  }
  return error(404, "not_found", "There is no such path.", out);
}

// True where the position asked for is not there, or makes no sense: `*reply` says so.
bool Endpoints::await_position(const HttpRequest& request, std::string* out,
                               std::unique_ptr<PositionWait>* wait, int64_t now_ms, Reply* reply) const {
  if (!admitted(request) || view_.snapshot == nullptr) return false;  // refused for that
  PositionWait asked;
  const bool has_waited = wait != nullptr && *wait != nullptr;
  if (!has_waited) {
    std::string problem;
    if (!served_.read(request, instance_, now_ms, &asked, &problem)) {
      *reply = error(400, "bad_position", problem, out);
      tell_snapshot(reply, monotonic_ms());
      return true;
    }
  }
  const PositionWait& waited = has_waited ? **wait : asked;
  if (served_.contains(waited.wanted)) return false;
  if (wait == nullptr || waited.end_ms <= now_ms) {
    *reply = not_reached(out);
    return true;
  }
  if (!has_waited) *wait = std::make_unique<PositionWait>(std::move(asked));
  reply->waits = true;
  return true;
}

Reply Endpoints::not_reached(std::string* out) const {
  *out += "{\"error\":\"position_not_reached\",\"message\":";
  append_quoted(out, "The snapshot does not contain the position asked for yet; ask again, or wait longer.");
  *out += ",\"position\":";
  append_quoted(out, served_.told());
  *out += ",\"version\":" + std::to_string(info(*view_.snapshot).version) + '}';
  Reply reply;
  reply.status = 503;
  tell_snapshot(&reply, monotonic_ms());
  return reply;
}

void Endpoints::tell_snapshot(Reply* reply, int64_t now_ms) const {
  reply->has_snapshot = true;
  reply->version = info(*view_.snapshot).version;
  reply->age_ms = view_.age_at(now_ms);
  reply->position = served_.shown();
}

Reply Endpoints::query(const HttpRequest& request, LongQueryPtr* longer, std::string* out) {
  if (!admitted(request)) return unauthorized(out);
  if (view_.snapshot == nullptr) return error(503, "not_ready", "No snapshot has been loaded yet.", out);
  if (request.method == Method::kPost) {
    if (!request.has_length) {
      return error(411, "length_required", "A POST needs Content-Length or Transfer-Encoding: chunked.", out);
    }
    return query_text(request, request.body, longer, out);
  }
  std::string_view encoded;
  if (find_q(request.query, &encoded) != 1) {
    return error(400, "bad_request", "The query is expected once, in the URL's parameter q.", out);
  }
  if (!decode(encoded, &decoded_)) {
    return error(400, "bad_request",
                 "The parameter q has a % that is not followed by two hexadecimal digits.", out);
  }
  return query_text(request, decoded_, longer, out);
}

Reply Endpoints::query_text(const HttpRequest& request, std::string_view text, LongQueryPtr* longer,
                            std::string* out) {
  std::vector<Pair> pairs;
  std::vector<Parameter> parameters;
  if (!request.query.empty() && (text.find('$') != std::string_view::npos || asks_for_page(request.query))) {
    if (!decode_pairs(request.query, &pairs)) {
      return error(400, "bad_request",
                   "A parameter in the URL has a % that is not followed by two hexadecimal digits.", out);
    }
    for (const Pair& pair : pairs) parameters.push_back({pair.name, pair.value});
  }
  const Asked asked = {text, parameters, formats_for(request), takes_gzip(request.accept_encoding)};
  if (asked.formats.count == 0) return not_acceptable(out);
  Reply reply;
  reply.has_snapshot = reply.varies = true;
  reply.version = info(*view_.snapshot).version;
  reply.position = served_.shown();
  const HealthNotes::Frozen frozen = instance_.notes.frozen();
  // What was frozen since is told with an answer: a client that has the rows already must hear of it too.
  if (request.method != Method::kPost && frozen == nullptr &&
      matches_tag(request, asked.formats, instance_.boot_id, &reply) &&
      runner_.accepts(reply.format, asked)) {
    reply.age_ms = view_.age_at(monotonic_ms());
    reply.has_etag = true;
    reply.status = 304;
    return reply;
  }
  const int64_t begin = monotonic_ns();
  reply.age_ms = view_.age_at(begin / 1'000'000);
  const size_t at = out->size();
  Answered answer = runner_.run(view_.snapshot, asked, {WorkerPool::kPatienceNs, nullptr}, out);
  if (answer.status == kTakesLonger) {
    *longer = hand_over(asked);
    reply.waits = *longer != nullptr;
    if (reply.waits) return reply;
    return error(503, "overloaded", "Too many long queries wait already.", out);
  }
  conclude(request, asked, std::move(answer), runner_.next_page(), at, &reply, out);
  if (frozen != nullptr && reply.status == 200)
    reply.stale_tables = stale_tables(*frozen, runner_.engine().tables());
  stats_.count_query(monotonic_ns() - begin);
  stats_.plan_hits.set(runner_.engine().plan_hits());
  stats_.plan_misses.set(runner_.engine().plan_misses());
  assert(reply.age_ms >= 0);
  return reply;
}

// The query goes to the workers, with all that its answer's head will tell. Null: they have too much to do.
LongQueryPtr Endpoints::hand_over(const Asked& asked) {
  auto query = std::make_shared<LongQuery>();
  query->text = asked.text;
  for (const Parameter& parameter : asked.parameters) {
    query->texts.emplace_back(parameter.name);
    query->texts.emplace_back(parameter.value);
  }
  query->formats = asked.formats;
  query->gzip = asked.gzip;
  query->snapshot = view_.snapshot;
  query->mailbox = mailbox_;
  query->version = version();
  query->age_ms = view_.age_at(monotonic_ms());
  query->position = served_.shown();
  return instance_.workers->submit(query) ? query : nullptr;
}

void Endpoints::count(LongQuery* longer) {
  stats_.count_query(longer->took_ns);
  if (longer->took_ns < WorkerPool::kPatienceNs / 2) runner_.engine().was_short(longer->text);
}

Reply Endpoints::arrived(const HttpRequest& request, LongQuery* longer, std::string* out) {
  Reply reply;
  reply.waits = !longer->arrived;
  if (reply.waits) return reply;
  count(longer);
  reply.has_snapshot = reply.varies = true;
  reply.version = longer->version;
  reply.age_ms = longer->age_ms;
  reply.position = longer->position;
  const std::vector<Parameter> parameters = longer->parameters();
  const Asked asked = {longer->text, parameters, longer->formats, longer->gzip};
  const size_t at = out->size();
  *out += longer->out;
  conclude(request, asked, std::move(longer->answer), longer->next_page, at, &reply, out);
  const HealthNotes::Frozen frozen = instance_.notes.frozen();
  if (frozen != nullptr && reply.status == 200) reply.stale_tables = stale_tables(*frozen, longer->tables);
  return reply;
}

// Makes the reply of an answer whose body begins in `*out` at `at`.
void Endpoints::conclude(const HttpRequest& request, const Asked& asked, Answered answer,
                         std::string_view next, size_t at, Reply* reply, std::string* out) {
  reply->status = answer.status;
  reply->format = answer.format;
  reply->gzip = answer.gzip;
  reply->body = std::move(answer.body);
  reply->rest = std::move(answer.rest);
  if (answer.format == Format::kEvents) return begin_live(request, asked, answer.event_id, at, reply, out);
  reply->has_etag = request.method != Method::kPost && reply->status == 200;
  const bool linked = reply->status == 200 && !next.empty() && next.size() <= kMaxCursor &&
                      other_pairs(request.query, next.substr(0, next.find('=')), &reply->others);
  if (linked) reply->next = next;
}

void Endpoints::begin_live(const HttpRequest& request, const Asked& asked, const std::string& id, size_t at,
                           Reply* reply, std::string* out) {
  if (instance_.live_queries.load(std::memory_order_relaxed) >= instance_.options.max_live_queries) {
    out->resize(at);
    reply->format = Format::kJson;
    reply->status =
        error(503, "overloaded", "This instance has as many live queries as it may have.", out).status;
    return;
  }
  auto live = std::make_unique<LiveQuery>();
  live->text = asked.text;
  for (const Parameter& parameter : asked.parameters) {
    live->texts.emplace_back(parameter.name);
    live->texts.emplace_back(parameter.value);
  }
  live->authorization = request.authorization;
  live->version = reply->version;
  live->last_id = id;
  const std::string answer = out->substr(at);
  out->resize(at);
  // Clients that lose a server at the same moment come back one after another.
  *out += "retry: " + std::to_string(kRetryMs + monotonic_ns() / 1000 % kRetrySpreadMs) + "\n";
  if (request.last_event_id == live->last_id) {
    *out += ": nothing new\n\n";
  } else {
    append_event({}, live->last_id, answer, out);
  }
  reply->live = std::move(live);
}

LiveQuery::Outcome Endpoints::answer_again(LiveQuery* live, std::string* out) {
  refresh();
  if (!admits(live->authorization)) {
    append_event("error", {}, "{\"error\":\"unauthorized\",\"message\":\"The API key is no longer valid.\"}",
                 out);
    return LiveQuery::Outcome::kEnd;
  }
  if (live->longer != nullptr) {
    if (!live->longer->arrived) return LiveQuery::Outcome::kLater;
    const LiveQuery::Outcome outcome = told(live, out);
    if (outcome != LiveQuery::Outcome::kNothing) return outcome;
  }
  if (live->version == version()) return LiveQuery::Outcome::kNothing;
  answer_.clear();
  const std::vector<Parameter> parameters = live->parameters();
  Asked asked = {live->text, parameters, {}, false};
  asked.formats.formats[asked.formats.count++] = Format::kEvents;
  const int64_t begin = monotonic_ns();
  Answered answer = runner_.run(view_.snapshot, asked, {WorkerPool::kPatienceNs, nullptr}, &answer_);
  if (answer.status == kTakesLonger) {
    live->longer = hand_over(asked);
    if (live->longer != nullptr) {
      if (!live->longer->arrived) return LiveQuery::Outcome::kLater;
      const LiveQuery::Outcome outcome = told(live, out);
      if (outcome != LiveQuery::Outcome::kNothing) return outcome;
    }
    return LiveQuery::Outcome::kNothing;  // with the next publication or heartbeat
  }
  live->version = version();
  stats_.count_query(monotonic_ns() - begin);
  return tell(live, answer.status, answer_, std::move(answer.event_id), out);
}

LiveQuery::Outcome Endpoints::told(LiveQuery* live, std::string* out) {
  assert(live->longer != nullptr && live->longer->arrived);
  const LongQueryPtr longer = std::move(live->longer);
  count(longer.get());
  live->version = longer->version;
  return tell(live, longer->answer.status, longer->out, std::move(longer->answer.event_id), out);
}

LiveQuery::Outcome Endpoints::tell(LiveQuery* live, int status, std::string_view answer, std::string id,
                                   std::string* out) {
  if (status != 200) {
    append_event("error", {}, answer, out);
    return LiveQuery::Outcome::kEnd;
  }
  if (id == live->last_id) return LiveQuery::Outcome::kNothing;
  append_event({}, id, answer, out);
  live->last_id = std::move(id);
  return LiveQuery::Outcome::kEvent;
}

}  // namespace reflex::net
