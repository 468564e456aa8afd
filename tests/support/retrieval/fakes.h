// Hand-written stand-ins for the ports of the library: an embedder of hashed words and an extractor of plain text.
#pragma once

#include <unistd.h>

#include <cmath>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "retrieval/embedder.h"
#include "retrieval/extraction.h"
#include "retrieval/terms.h"

namespace carrel::retrieval {

// Texts with words in common are near to each other. 64 dimensions, a window of 64 tokens, a token is a term.
class FakeEmbedder final : public Embedder {
 public:
  explicit FakeEmbedder(std::string name = "fake", uint32_t dimensions = 64)
      : name_(std::move(name)), dimensions_(dimensions) {}
  const std::string& name() const override { return name_; }
  const std::string& alias() const override { return alias_; }
  const std::string& licence() const override { return licence_; }
  uint32_t dimensions() const override { return dimensions_; }
  uint32_t window_tokens() const override { return 64; }
  uint32_t batch() const override { return 8; }
  size_t CountTokens(std::string_view utf8) const override { return Terms(utf8).size(); }
  absl::StatusOr<std::vector<Embedding>> Embed(std::span<const std::string_view> texts, TextRole role) override {
    std::function<void(std::span<const std::string_view>)> before;
    {
      const std::lock_guard lock(mutex_);
      if (role == TextRole::kPassage) before = before_;
    }
    if (before) before(texts);
    {
      const std::lock_guard lock(mutex_);
      if (role == TextRole::kPassage) passages_ += texts.size();
      if (fail_ > 0) return --fail_, failure_;
    }
    std::vector<Embedding> out;
    for (const std::string_view text : texts) {
      Embedding one{.values = std::vector<float>(dimensions_, 0.01f),
                    .tokens = static_cast<uint32_t>(CountTokens(text))};
      for (const std::string& term : QueryTerms(text)) one.values[std::hash<std::string>()(term) % dimensions_] += 1;
      double norm = 0;
      for (const float v : one.values) norm += double{v} * v;
      for (float& v : one.values) v = static_cast<float>(v / std::sqrt(norm));
      out.push_back(std::move(one));
    }
    return out;
  }
  std::optional<Calibration> calibration() const override { return calibration_; }
  // Before it is used.
  void Calibrate(Calibration calibration) { calibration_ = calibration; }
  void FailNext(int calls, absl::Status failure = absl::InternalError("the fake was told to fail")) {
    const std::lock_guard lock(mutex_);
    fail_ = calls;
    failure_ = std::move(failure);
  }
  // Called before passages are embedded, from the thread that does.
  void Before(std::function<void(std::span<const std::string_view>)> before) {
    const std::lock_guard lock(mutex_);
    before_ = std::move(before);
  }
  size_t passages_embedded() {
    const std::lock_guard lock(mutex_);
    return passages_;
  }

 private:
  const std::string name_;
  const uint32_t dimensions_;
  const std::string alias_;
  const std::string licence_ = "none";
  std::mutex mutex_;
  std::function<void(std::span<const std::string_view>)> before_;
  size_t passages_ = 0;
  int fail_ = 0;
  std::optional<Calibration> calibration_;
  absl::Status failure_;
};

// Reads any type as UTF-8 text of one page, without a jail.
class PlainTextExtractor final : public Extractor {
 public:
  absl::StatusOr<Extraction> Extract(ExtractionRequest request) override {
    std::function<void()> before;
    {
      const std::lock_guard lock(mutex_);
      ++calls_;
      before = before_;
    }
    if (before) before();
    std::string bytes;
    char buffer[4096];
    for (ssize_t n = 0; (n = ::read(request.bytes.get(), buffer, sizeof(buffer))) > 0;) {
      bytes.append(buffer, static_cast<size_t>(n));
    }
    if (request.stop.stop_requested()) return absl::CancelledError("stopped");
    absl::StatusOr<std::u32string> text = FromUtf8(bytes);
    if (!text.ok()) return Extraction{.verdict = Verdict::kDamaged, .message = "It is not UTF-8."};
    if (text->empty()) return Extraction{.verdict = Verdict::kEmpty, .message = "It is empty."};
    Extraction out{.verdict = Verdict::kRead, .pages = 1};
    const auto size = static_cast<uint32_t>(text->size());
    out.document.text = *std::move(text);
    out.document.body_end = size;
    out.document.pages.push_back({.number = 1, .label = "1", .body = {0, size}, .margin = {size, size}});
    if (request.on_page) request.on_page(1, 1);
    return out;
  }
  // Called before each reading, from its thread.
  void Before(std::function<void()> before) {
    const std::lock_guard lock(mutex_);
    before_ = std::move(before);
  }
  int calls() {
    const std::lock_guard lock(mutex_);
    return calls_;
  }

 private:
  std::mutex mutex_;
  std::function<void()> before_;
  int calls_ = 0;
};

}  // namespace carrel::retrieval
