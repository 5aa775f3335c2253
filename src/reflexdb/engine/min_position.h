// A client reading its own writes: which source position its request asks for, and whether what is served has
// it (doc/http.md, "Reading one's own writes").
//
// Belongs to one event loop. Knows no sockets: the loop keeps a request that has to wait.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "http_parser.h"
#include "instance.h"
#include "position.h"

namespace reflex::net {

// What a request that is kept waits for.
struct PositionWait {
  Position wanted;
  int64_t end_ms = 0;  // by the loop's clock
};

// The snapshot's place in the source's history as answers tell it, taken apart once a publication.
class ServedPosition {
 public:
  static constexpr size_t kMaxWantedBytes = 4096;        // of a header's value
  static constexpr size_t kMaxShownBytes = 512;          // what finds room in an answer's head
  static constexpr int64_t kMaxWaitingBytes = 64 << 20;  // of all requests that wait, all loops together

  void refresh(const View& view);

  // For X-ReflexDB-Position: the source's own words where it is followed, else the version. Empty where it
  // does not fit a head.
  std::string_view shown() const { return shown_; }
  // The whole of it, for a body.
  std::string_view told() const { return told_; }

  bool contains(const Position& wanted) const;

  // Reads the request's headers. False, and one sentence in `*error`, where they make no sense here.
  bool read(const HttpRequest& request, const Instance& instance, int64_t now_ms, PositionWait* wait,
            std::string* error) const;

 private:
  Position version_;
  Position place_;  // form kNone where the source is not followed
  std::string told_;
  std::string_view shown_;
};

}  // namespace reflex::net
