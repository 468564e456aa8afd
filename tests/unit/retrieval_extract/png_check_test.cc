#include "retrieval/png_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace carrel::retrieval {
namespace {

using ::testing::HasSubstr;

uint32_t Crc(const std::string& bytes) {
  uint32_t c = 0xFFFFFFFFu;
  for (const char byte : bytes) {
    c ^= static_cast<unsigned char>(byte);
    for (int k = 0; k < 8; ++k) c = (c & 1) != 0 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
  }
  return ~c;
}

std::string Number(uint32_t value) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
  return out;
}

std::string Chunk(const std::string& name, const std::string& data) {
  return Number(static_cast<uint32_t>(data.size())) + name + data + Number(Crc(name + data));
}

const std::string kSignature("\x89PNG\r\n\x1a\n", 8);

std::string Header(uint32_t width, uint32_t height, const std::string& kind = std::string("\x08\x02\0\0\0", 5)) {
  return Chunk("IHDR", Number(width) + Number(height) + kind);
}

std::string Refusal(const std::string& bytes) {
  const auto size = CheckPng(bytes);
  return size.ok() ? "" : std::string(size.status().message());
}

TEST(PngCheck, APlainPictureHasItsSize) {
  const auto size = CheckPng(kSignature + Header(1200, 1600) + Chunk("sRGB", std::string(1, '\0')) +
                             Chunk("IDAT", "pixels") + Chunk("IDAT", "more") + Chunk("IEND", ""));
  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_EQ(*size, (PngSize{1200, 1600}));
}

TEST(PngCheck, WhatIsNotOneIsRefused) {
  const std::string pixels = Chunk("IDAT", "pixels");
  const std::string end = Chunk("IEND", "");
  EXPECT_THAT(Refusal(""), HasSubstr("no signature"));
  EXPECT_THAT(Refusal("\xFF\xD8\xFF\xE0 a JPEG"), HasSubstr("no signature"));
  EXPECT_THAT(Refusal(kSignature), HasSubstr("no end"));
  EXPECT_THAT(Refusal(kSignature + pixels), HasSubstr("header"));
  EXPECT_THAT(Refusal(kSignature + Header(0, 1) + pixels + end), HasSubstr("size"));
  EXPECT_THAT(Refusal(kSignature + Header(1u << 25, 1) + pixels + end), HasSubstr("size"));
  EXPECT_THAT(Refusal(kSignature + Header(1, 1, std::string("\x10\x02\0\0\0", 5)) + pixels + end), HasSubstr("kind"));
  EXPECT_THAT(Refusal(kSignature + Header(1, 1, std::string("\x08\x02\0\0\x01", 5)) + pixels + end), HasSubstr("kind"));
  EXPECT_THAT(Refusal(kSignature + Header(1, 1) + end), HasSubstr("end"));
  EXPECT_THAT(Refusal(kSignature + Header(1, 1) + pixels), HasSubstr("no end"));
  EXPECT_THAT(Refusal(kSignature + Header(1, 1) + pixels + end + "<script>"), HasSubstr("end"));
  EXPECT_THAT(Refusal(kSignature + Header(1, 1) + Header(1, 1) + pixels + end), HasSubstr("no place"));
  EXPECT_THAT(Refusal(kSignature + Header(1, 1) + Chunk("tEXt", "Comment") + pixels + end), HasSubstr("no place"));
  EXPECT_THAT(Refusal(kSignature + Header(1, 1) + Chunk("iCCP", "profile") + pixels + end), HasSubstr("no place"));
  EXPECT_THAT(Refusal(kSignature + Header(1, 1) + pixels + Chunk("fdAT", "frame") + end), HasSubstr("no place"));
  EXPECT_THAT(Refusal(kSignature + Header(1, 1) + Number(0xFFFFFFF0) + "IDAT" + "past the end"), HasSubstr("past"));
  std::string wrong = kSignature + Header(1, 1) + pixels + end;
  wrong[wrong.size() - 1] ^= 1;
  EXPECT_THAT(Refusal(wrong), HasSubstr("checksum"));
}

}  // namespace
}  // namespace carrel::retrieval
