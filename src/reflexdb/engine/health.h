// What the instance says of itself: /health and STATUS in JSON, /metrics for Prometheus. Reads only atomics
// and copies; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "instance.h"

namespace reflex::net {

// Appends the object of /health and answers its HTTP status: 200 while a snapshot can be served. `detailed`
// adds what STATUS adds.
int append_health(const Instance& instance, bool detailed, std::string* out);

// Appends an object with what became of the requests since the start; `cut` more than the loops know of.
void append_counts(const Instance& instance, uint64_t cut, std::string* out);

void append_metrics(const Instance& instance, std::string* out);

}  // namespace reflex::net
