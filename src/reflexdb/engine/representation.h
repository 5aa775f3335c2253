// How an answer to /query is shaped for its client: its format, its tag, its compression. What the client
// takes is accept.h's.
#pragma once

#include <string>
#include <string_view>

#include "accept.h"
#include "endpoints.h"
#include "gzip.h"
#include "http_parser.h"
#include "query_runner.h"

namespace reflex::net {

// Shorter answers gain nothing; longer ones than the second are compressed piece by piece, between other
// requests.
inline constexpr size_t kGzipFrom = 1400;
inline constexpr size_t kGzipAtOnce = 128 << 10;

// Most requests have no opinion or ask for JSON, which is told without reading more.
Preference formats_for(const HttpRequest& request);

// Finds one of the tags that the current version's answers have among those of If-None-Match; of formats that
// the client takes now. True: `*reply` has that tag.
bool matches_tag(const HttpRequest& request, const Preference& wanted, std::string_view boot_id,
                 Reply* reply);

// Compresses the body that stands in `*out` from `at` on, and what answer->body has of it, where that gains.
void compress(Gzip* gzip, size_t at, Answered* answer, std::string* out);

// What stands in a tag behind the version.
std::string_view tag_suffix(Format format, bool gzip);

Reply not_acceptable(std::string* out);

}  // namespace reflex::net
