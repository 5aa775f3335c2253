// A query that stays: answered now, and again each time its answer has changed, as server-sent events.
//
// An event's id is a digest of the answer, so a client that comes back with Last-Event-ID is answered only if
// there is something new, whichever process it comes to.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "parameters.h"

namespace reflex::net {

struct LongQuery;

struct LiveQuery {
  static constexpr int64_t kEveryMs = 100;  // between two answers: what changes faster is told together
  static constexpr int64_t kHeartbeatMs = 15'000;  // of silence, then a comment

  enum class Outcome : uint8_t { kNothing, kEvent, kEnd, kLater };

  std::string text;
  std::vector<std::string> texts;  // names and values of parameters, in turn
  std::string authorization;       // is looked at again with each answer: keys may go away
  std::string last_id;
  uint64_t version = 0;               // of the snapshot last looked at
  std::shared_ptr<LongQuery> longer;  // its answer is being made elsewhere

  std::vector<Parameter> parameters() const {
    std::vector<Parameter> out;
    for (size_t i = 0; i + 1 < texts.size(); i += 2) out.push_back({texts[i], texts[i + 1]});
    return out;
  }
};

// An answer as an event; its lines may be any.
void append_event(std::string_view event, std::string_view id, std::string_view data, std::string* out);

// What an event with this answer is called.
std::string event_id(std::string_view answer);

}  // namespace reflex::net
