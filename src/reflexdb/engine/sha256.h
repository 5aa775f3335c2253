// SHA-256 (FIPS 180-4) and HMAC-SHA256 (RFC 2104), for API keys: a few short messages when keys change, none
// per query.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace reflex::net {

using Digest = std::array<uint8_t, 32>;

Digest sha256(std::span<const uint8_t> message);
Digest hmac_sha256(std::span<const uint8_t> key, std::span<const uint8_t> message);

}  // namespace reflex::net
