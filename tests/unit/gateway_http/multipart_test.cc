#include "multipart.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace carrel::gateway::http {
namespace {

struct Part {
  PartHeader header;
  std::string data;
  bool ended = false;
};

// The parts of a body that is fed in pieces of `size` bytes.
absl::StatusOr<std::vector<Part>> Read(const std::string& boundary, const std::string& body, size_t size) {
  std::vector<Part> parts;
  MultipartReader reader(boundary, {.begin =
                                        [&](const PartHeader& header) {
                                          parts.push_back({header, "", false});
                                          return absl::OkStatus();
                                        },
                                    .data =
                                        [&](std::string_view bytes) {
                                          parts.back().data += bytes;
                                          return absl::OkStatus();
                                        },
                                    .end =
                                        [&] {
                                          parts.back().ended = true;
                                          return absl::OkStatus();
                                        }});
  for (size_t at = 0; at < body.size(); at += size) {
    absl::Status fed = reader.Feed(std::string_view(body).substr(at, size));
    if (!fed.ok()) return fed;
  }
  if (absl::Status finished = reader.Finish(); !finished.ok()) return finished;
  return parts;
}

constexpr char kForm[] =
    "--B\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nassistants\r\n"
    "--B\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\\\"b; c.txt\"\r\nContent-Type: \r\n\r\n"
    "one\r\n--two\r\n-\r\n--B\r\n"
    "Content-Disposition: form-data; name=\"empty\"\r\n\r\n\r\n--B--\r\nafter";

TEST(MultipartTest, EveryCutGivesTheSameParts) {
  for (size_t size = 1; size < sizeof(kForm); ++size) {
    auto parts = Read("B", kForm, size);
    ASSERT_TRUE(parts.ok()) << parts.status() << " in pieces of " << size;
    ASSERT_EQ(parts->size(), 3u);
    EXPECT_EQ((*parts)[0].header.name, "purpose");
    EXPECT_FALSE((*parts)[0].header.is_file);
    EXPECT_EQ((*parts)[0].data, "assistants");
    EXPECT_EQ((*parts)[1].header.filename, "a\"b; c.txt");
    EXPECT_TRUE((*parts)[1].header.is_file);
    EXPECT_EQ((*parts)[1].data, "one\r\n--two\r\n-");
    EXPECT_EQ((*parts)[2].data, "");
    for (const Part& part : *parts) EXPECT_TRUE(part.ended);
  }
}

TEST(MultipartTest, NamesInEveryEncoding) {
  auto name = [](const std::string& disposition) {
    auto parts =
        Read("B", "--B\r\nContent-Disposition: form-data; name=\"f\"; " + disposition + "\r\n\r\nx\r\n--B--", 7);
    return parts.ok() && !parts->empty() ? parts->front().header.filename : "?";
  };
  EXPECT_EQ(name("filename=\"na\u00efve.txt\""), "na\u00efve.txt");
  EXPECT_EQ(name("filename=\"na\xefve.txt\""), "na\u00efve.txt");
  EXPECT_EQ(name("filename=\"x\"; filename*=utf-8''na%C3%AFve.txt"), "na\u00efve.txt");
  EXPECT_EQ(name("filename=\"text/csv\""), "text/csv");
  EXPECT_EQ(name("filename=plain.txt"), "plain.txt");
}

TEST(MultipartTest, WhatIsNoFormIsRefused) {
  EXPECT_FALSE(Read("B", "no boundary at all", 5).ok());
  EXPECT_FALSE(Read("B", "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\ncut", 5).ok());
  EXPECT_FALSE(Read("B", "--B\r\nX: y\r\n\r\nz\r\n--B--", 5).ok());
  EXPECT_FALSE(Read("B", std::string(100'000, 'x'), 1000).ok());
  EXPECT_FALSE(Read("B", "--B\r\n" + std::string(100'000, 'h'), 1000).ok());
}

TEST(MultipartTest, TheBoundaryQuotedOrNot) {
  EXPECT_EQ(BoundaryOf("multipart/form-data; boundary=abc"), "abc");
  EXPECT_EQ(BoundaryOf("Multipart/Form-Data; charset=utf-8; boundary=\"tt=_; x\""), "tt=_; x");
  EXPECT_EQ(BoundaryOf("application/json; boundary=abc"), "");
  EXPECT_EQ(BoundaryOf("multipart/form-data"), "");
}

}  // namespace
}  // namespace carrel::gateway::http
