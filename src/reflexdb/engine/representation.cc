#include "representation.h"

#include <utility>

namespace reflex::net {

Preference formats_for(const HttpRequest& request) {
  const FieldLines& accept = request.accept;
  if (accept.count == 0 ||
      (accept.count == 1 && (accept.lines[0] == "*/*" || accept.lines[0] == "application/json"))) {
    Preference json;
    json.formats[0] = Format::kJson;
    json.count = 1;
    return json;
  }
  return preference(accept);
}

std::string_view tag_suffix(Format format, bool gzip) {
  constexpr std::string_view kSuffixes[kFormats][2] = {
      {"", "-gzip"}, {"-ndjson", "-ndjson-gzip"}, {"-csv", "-csv-gzip"}, {"-arrow", "-arrow-gzip"}, {"", ""}};
  return kSuffixes[static_cast<size_t>(format)][gzip ? 1 : 0];
}

bool matches_tag(const HttpRequest& request, const Preference& wanted, std::string_view boot_id,
                 Reply* reply) {
  const std::string_view given = request.if_none_match;
  if (given.empty()) return false;
  const std::string stem = '"' + std::string(boot_id) + '-' + std::to_string(reply->version);
  const bool takes = takes_gzip(request.accept_encoding);
  for (size_t i = 0; i < wanted.count; ++i) {
    for (const bool gzip : {false, true}) {
      if (wanted.formats[i] == Format::kEvents || (gzip && !takes)) continue;
      std::string tag = stem;
      tag.append(tag_suffix(wanted.formats[i], gzip)).append("\"");
      if (given != "*" && given.find(tag) == std::string_view::npos) continue;
      reply->format = wanted.formats[i];
      reply->gzip = gzip;
      return true;
    }
  }
  return false;
}

void compress(Gzip* gzip, size_t at, Answered* answer, std::string* out) {
  const size_t size = out->size() - at;
  if (size < kGzipFrom && answer->body == nullptr) return;
  answer->gzip = true;
  std::string plain = out->substr(at);
  out->resize(at);
  if (answer->body == nullptr && size <= kGzipAtOnce) {
    gzip->add(plain, true, out);
    return;
  }
  std::unique_ptr<Body> body = gzip_body(std::move(plain), std::move(answer->body));
  if (body->next(out) == Body::State::kMore) answer->body = std::move(body);
}

Reply not_acceptable(std::string* out) {
  return Endpoints::error(
      406, "not_acceptable",
      "Answers come as application/json, application/x-ndjson, text/csv, "
      "application/vnd.apache.arrow.stream or text/event-stream; Accept takes none of them.",
      out);
}

}  // namespace reflex::net
