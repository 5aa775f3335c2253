// The engine's version; equals the Python package's, and a test holds them together.
#pragma once

namespace reflex {
inline constexpr char kEngineVersion[] = "0.1.0";
}  // namespace reflex
