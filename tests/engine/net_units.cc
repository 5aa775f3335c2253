// Parts of the server that need no network, driven by tests: hashes, the HTTP parser cut anywhere, and both
// fuzzed. net_units sha256 | net_units hmac KEYHEX | net_units parse [CUT] (request on standard input) |
// net_units contains HAVE WANTED | net_units fuzz SEED SECONDS
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "feed_frames.h"
#include "http_parser.h"
#include "json_doc.h"
#include "position.h"
#include "sha256.h"

using namespace reflex::net;

namespace {

std::string read_all() {
  std::string text;
  char buffer[4096];
  size_t n = 0;
  while ((n = fread(buffer, 1, sizeof buffer, stdin)) > 0) text.append(buffer, n);
  return text;
}

Bytes bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

void print(const Digest& digest) {
  for (uint8_t byte : digest) printf("%02x", byte);
  printf("\n");
}

// Feeds `text` in pieces of `cut` bytes (0: whole) as an event loop would, from a block without a byte to
// spare. One line a request: its outcome. The same for every cut, or the parser is wrong.
std::string outcomes(const std::string& text, size_t cut) {
  HttpLimits limits;
  limits.body_bytes = 4096;
  HttpParser parser(limits);
  std::string told;
  std::string pending;
  size_t at = 0;
  while (at < text.size() || !pending.empty()) {
    if (at < text.size()) {
      const size_t n = std::min(cut == 0 ? text.size() : cut, text.size() - at);
      pending.append(text, at, n);
      at += n;
    }
    std::vector<char> exact(pending.begin(), pending.end());
    size_t size = exact.size();
    const HttpParser::Result result = parser.feed(exact.data(), &size);
    if (result == HttpParser::Result::kError)
      return told + "error " + std::to_string(parser.error().status) + "\n";
    if (result == HttpParser::Result::kRequest) {
      const HttpRequest request = parser.request(exact.data());
      told += std::to_string(static_cast<int>(request.method)) + ' ' + std::string(request.path) + '?' +
              std::string(request.query) + ' ' + std::string(request.authorization) + ' ' +
              std::string(request.body) + (request.keep_alive ? " keep\n" : " close\n");
      pending.assign(exact.data() + parser.consumed(), size - parser.consumed());
      parser.reset();
      continue;
    }
    pending.assign(exact.data(), size);
    if (result == HttpParser::Result::kNeedMore && at == text.size()) break;
  }
  return told;
}

const std::string kSeeds[] = {
    "GET /query?q=users HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer rxk_a.b\r\n\r\n",
    "POST /query HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nusersGET / HTTP/1.1\r\nHost: b\r\n\r\n",
    "POST /query HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: "
    "1\r\n\r\n",
    "POST /q HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
};

std::string mutate(std::string text, std::mt19937& random) {
  static const std::string kParts[] = {"\r\n",
                                       "\n",
                                       "\r",
                                       std::string(1, '\0'),
                                       ":",
                                       " ",
                                       "0",
                                       "ffffffffffffffff",
                                       "Content-Length: 9\r\n",
                                       "Transfer-Encoding: chunked\r\n",
                                       "\r\n\r\n",
                                       ";",
                                       "HTTP/1.0",
                                       "Host: c\r\n"};
  auto pick = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  for (size_t i = pick(4) + 1; i > 0 && !text.empty(); --i) {
    const size_t at = pick(text.size());
    switch (pick(5)) {
      case 0:
        text[at] = static_cast<char>(pick(256));
        break;
      case 1:
        text.erase(at, pick(8) + 1);
        break;
      case 2:
        text.insert(at, kParts[pick(std::size(kParts))]);
        break;
      case 3:
        text.insert(at, text.substr(pick(text.size()), pick(40)));
        break;
      default:
        text += kSeeds[pick(std::size(kSeeds))];
    }
  }
  return text;
}

const std::string kPositions[] = {"16/B374D848", "0-1-42,1-7-9", "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7",
                                  "binlog.000003:4711", "17"};

// yes or no; foreign where the two can't be compared, bad where one is no position.
const char* relation(const std::string& have, const std::string& wanted) {
  const Position mine = Position::parse(have);
  const Position other = Position::parse(wanted);
  if (mine.form() == Position::Form::kNone || other.form() == Position::Form::kNone) return "bad";
  if (!mine.comparable(other)) return "foreign";
  return mine.contains(other) ? "yes" : "no";
}

// Whatever the text is: it contains itself, or is none.
bool is_sound(const std::string& text) {
  const std::string said = relation(text, text);
  return said == "yes" || said == "bad";
}

int fuzz(uint32_t seed, int seconds) {
  std::mt19937 random(seed);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  uint64_t cases = 0;
  while (std::chrono::steady_clock::now() < end) {
    const std::string text = mutate(kSeeds[cases++ % std::size(kSeeds)], random);
    const std::string whole = outcomes(text, 0);
    const size_t cut = random() % 7 + 1;
    if (outcomes(text, cut) != whole) {
      fprintf(stderr, "seed %u: cut at %zu differs for %s\n", seed, cut, text.c_str());
      return 1;
    }
    if (!is_sound(mutate(kPositions[cases % std::size(kPositions)], random))) {
      fprintf(stderr, "seed %u: a position does not contain itself\n", seed);
      return 1;
    }
    JsonValue value;
    parse_json(text, &value);
    std::string frame(random() % 64, '\0');
    for (char& c : frame) c = static_cast<char>(random());
    parse_hello(bytes_of(frame));
    parse_moment(bytes_of(frame));
    parse_u32(bytes_of(frame));
  }
  printf("%llu\n", static_cast<unsigned long long>(cases));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "fuzz") return fuzz(static_cast<uint32_t>(atoi(argv[2])), atoi(argv[3]));
  if (what == "contains") return puts(relation(argv[2], argv[3])) < 0;
  const std::string text = read_all();
  if (what == "sha256") print(sha256(bytes_of(text)));
  if (what == "hmac") {
    std::string key;
    for (const char* p = argv[2]; *p != '\0'; p += 2)
      key += static_cast<char>(strtol(std::string(p, 2).c_str(), nullptr, 16));
    print(hmac_sha256(bytes_of(key), bytes_of(text)));
  }
  if (what == "parse") {
    const std::string told = outcomes(text, argc > 2 ? strtoul(argv[2], nullptr, 10) : 0);
    fwrite(told.data(), 1, told.size(), stdout);
  }
  return 0;
}
