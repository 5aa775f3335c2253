// Runs a fuzz target over saved inputs, for compilers that have no fuzzer: each argument is a file. Then over
// each of them changed a little, the same way every time.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr int kVariants = 40;

void change(std::vector<uint8_t>* input, std::mt19937* random) {
  for (uint32_t i = (*random)() % 4 + 1; i > 0 && !input->empty(); --i) {
    const size_t at = (*random)() % input->size();
    const auto place = input->begin() + static_cast<ptrdiff_t>(at);
    switch ((*random)() % 4) {
      case 0:
        *place = static_cast<uint8_t>((*random)());
        break;
      case 1:
        input->erase(place);
        break;
      case 2:
        input->insert(place, static_cast<uint8_t>((*random)()));
        break;
      default:
        input->resize(at);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t runs = 0;
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    if (!file) return 1;
    const std::vector<uint8_t> saved((std::istreambuf_iterator<char>(file)),
                                     std::istreambuf_iterator<char>());
    std::mt19937 random(1);
    for (int variant = 0; variant <= kVariants; ++variant, ++runs) {
      std::vector<uint8_t> input = saved;
      if (variant > 0) change(&input, &random);
      LLVMFuzzerTestOneInput(input.data(), input.size());
    }
  }
  std::printf("%llu\n", static_cast<unsigned long long>(runs));
  return 0;
}
