// Runs one of the extractor's readers in this process, and makes a document of what it sent.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <utility>

#include "block_writer.h"
#include "frame_writer.h"
#include "retrieval/document_builder.h"
#include "retrieval/frame_decoder.h"

namespace carrel::retrieval::extract {

struct ReaderResult {
  Verdict verdict;
  ExtractedDocument document;
  std::string text;  // of the document's body
};

inline ReaderResult RunReader(const std::function<Verdict(FrameWriter&)>& read,
                              uint64_t output_bytes_max = 256u << 20) {
  const int fd = ::memfd_create("frames", MFD_CLOEXEC);
  FrameWriter out(fd, output_bytes_max);
  out.Magic();
  ReaderResult result{.verdict = read(out)};
  FrameDecoder decoder({});
  EXPECT_EQ(::lseek(fd, 0, SEEK_SET), 0);
  std::string buffer(1u << 20, '\0');
  for (ssize_t got = 0; (got = ::read(fd, buffer.data(), buffer.size())) > 0;) {
    const absl::Status status = decoder.Feed(std::string_view(buffer).substr(0, static_cast<size_t>(got)));
    EXPECT_TRUE(status.ok()) << status;
  }
  EXPECT_TRUE(decoder.at_frame_end());
  ::close(fd);
  result.document = BuildDocument(decoder.TakeDocument());
  result.text = ToUtf8(std::u32string_view(result.document.text).substr(0, result.document.body_end));
  return result;
}

}  // namespace carrel::retrieval::extract
