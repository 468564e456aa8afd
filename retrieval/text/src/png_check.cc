#include "retrieval/png_check.h"

#include <array>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace carrel::retrieval {
namespace {

constexpr std::string_view kSignature("\x89PNG\r\n\x1a\n", 8);
constexpr size_t kChunkOverhead = 12;  // length, name, checksum
constexpr size_t kHeaderBytes = 13;
constexpr uint32_t kSideMax = 1u << 24;

// What libpng writes of its own beside the pixels: how colours are meant.
constexpr std::string_view kKnownChunks[] = {"sRGB", "gAMA", "cHRM", "pHYs"};

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t n = 0; n < 256; ++n) {
    uint32_t c = n;
    for (int k = 0; k < 8; ++k) c = (c & 1) != 0 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
    table[n] = c;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = MakeCrcTable();

uint32_t Crc(std::string_view bytes) {
  uint32_t c = 0xFFFFFFFFu;
  for (const char byte : bytes) c = kCrcTable[(c ^ static_cast<unsigned char>(byte)) & 0xFF] ^ (c >> 8);
  return ~c;
}

uint32_t BigEndian(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

absl::Status Bad(const char* what) { return absl::DataLossError(absl::StrCat("not a plain PNG file: ", what)); }

absl::StatusOr<PngSize> ReadHeader(std::string_view data) {
  if (data.size() != kHeaderBytes) return Bad("a header of the wrong size");
  const PngSize size{.width = BigEndian(data), .height = BigEndian(data.substr(4))};
  if (size.width == 0 || size.height == 0 || size.width > kSideMax || size.height > kSideMax) return Bad("its size");
  // 8 bits, RGB, deflate, adaptive filters, not interlaced.
  if (data.substr(8) != std::string_view("\x08\x02\x00\x00\x00", 5)) return Bad("its kind of pixels");
  return size;
}

bool IsKnown(std::string_view name) {
  for (const std::string_view known : kKnownChunks) {
    if (name == known) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<PngSize> CheckPng(std::string_view bytes) {
  if (!bytes.starts_with(kSignature)) return Bad("no signature");
  bytes.remove_prefix(kSignature.size());
  PngSize size;
  bool headed = false;
  bool pixels = false;
  while (bytes.size() >= kChunkOverhead) {
    const uint32_t length = BigEndian(bytes);
    if (length > bytes.size() - kChunkOverhead) return Bad("a chunk past the end");
    const std::string_view name = bytes.substr(4, 4);
    const std::string_view data = bytes.substr(8, length);
    if (Crc(bytes.substr(4, 4 + size_t{length})) != BigEndian(bytes.substr(8 + size_t{length}))) {
      return Bad("a wrong checksum");
    }
    bytes.remove_prefix(kChunkOverhead + length);
    if (!headed) {
      if (name != "IHDR") return Bad("it does not begin with its header");
      absl::StatusOr<PngSize> header = ReadHeader(data);
      if (!header.ok()) return header;
      size = *header;
      headed = true;
    } else if (name == "IDAT") {
      pixels = true;
    } else if (name == "IEND") {
      if (!pixels || !data.empty() || !bytes.empty()) return Bad("its end");
      return size;
    } else if (pixels || !IsKnown(name)) {
      return Bad("a chunk that has no place in it");
    }
  }
  return Bad("it has no end");
}

}  // namespace carrel::retrieval
