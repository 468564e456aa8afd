#include "retrieval/remote_embedder.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "http_post.h"
#include "nlohmann/json.hpp"

namespace carrel::retrieval {
namespace {

using nlohmann::json;

constexpr uint32_t kDimensionsMax = 4096;  // what the store's records and the index are sized for
constexpr uint32_t kWindowMin = 64, kWindowMax = 32'768;
constexpr uint32_t kBatchMax = 2048;
// The tokenizer is not known. Three bytes a token is more tokens than models make of English (four and more bytes), and
// about one for a character of Han.
constexpr size_t kBytesPerToken = 3;
constexpr size_t kBytesPerNumber = 32;   // of JSON: sign, digits, exponent, comma, white space
constexpr size_t kAnswerBytes = 65'536;  // around the numbers
constexpr size_t kQuotedMax = 200;       // bytes of an error's text
constexpr absl::Duration kPauseMax = absl::Seconds(10);

absl::Status Invalid(std::string what) { return absl::InvalidArgumentError("remote embeddings: " + std::move(what)); }

// What a stranger says, fit to stand in a sentence of ours.
std::string Quoted(std::string text) {
  const json parsed = json::parse(text, nullptr, false);
  if (parsed.is_object() && parsed.contains("error")) {
    const json& error = parsed["error"];
    if (error.is_object() && error.contains("message") && error["message"].is_string()) text = error["message"];
    if (error.is_string()) text = error;
  }
  text.resize(std::min(text.size(), kQuotedMax));
  for (char& c : text) {
    if (c < 0x20 || c > 0x7e) c = ' ';
  }
  return text;
}

class RemoteEmbedder final : public Embedder {
 public:
  explicit RemoteEmbedder(RemoteEmbedderOptions options)
      : options_(std::move(options)),
        name_(absl::StrCat("remote/", options_.model)),
        url_(absl::StrCat(options_.base_url, "/embeddings")) {}

  const std::string& name() const override { return name_; }
  const std::string& alias() const override { return alias_; }
  const std::string& licence() const override { return licence_; }
  uint32_t dimensions() const override { return options_.dimensions; }
  uint32_t window_tokens() const override { return options_.window_tokens; }
  uint32_t batch() const override { return options_.batch_max; }
  size_t CountTokens(std::string_view utf8) const override {
    return (utf8.size() + kBytesPerToken - 1) / kBytesPerToken;
  }

  absl::StatusOr<std::vector<Embedding>> Embed(std::span<const std::string_view> texts, TextRole role) override {
    std::vector<Embedding> out;
    out.reserve(texts.size());
    for (size_t begin = 0; begin < texts.size(); begin += options_.batch_max) {
      absl::StatusOr<std::vector<Embedding>> batch =
          Call(texts.subspan(begin, std::min<size_t>(options_.batch_max, texts.size() - begin)), role);
      if (!batch.ok()) return batch.status();
      std::move(batch->begin(), batch->end(), std::back_inserter(out));
    }
    return out;
  }

 private:
  // A place among the calls; questions may take the last one.
  class Place {
   public:
    Place(RemoteEmbedder& embedder, TextRole role) : embedder_(embedder) {
      std::unique_lock lock(embedder_.mutex_);
      const uint32_t max = embedder_.options_.calls_max;
      const uint32_t places = role == TextRole::kQuery || max == 1 ? max : max - 1;
      embedder_.free_.wait(lock, [&] { return embedder_.calls_ < places; });
      ++embedder_.calls_;
    }
    ~Place() {
      {
        const std::lock_guard lock(embedder_.mutex_);
        --embedder_.calls_;
      }
      embedder_.free_.notify_all();
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

   private:
    RemoteEmbedder& embedder_;
  };

  absl::StatusOr<std::vector<Embedding>> Call(std::span<const std::string_view> texts, TextRole role) {
    const std::string& prefix = role == TextRole::kQuery ? options_.query_prefix : options_.passage_prefix;
    json input = json::array();
    std::vector<bool> cut;
    for (std::string_view text : texts) {
      const size_t room = size_t{options_.window_tokens} * kBytesPerToken;
      cut.push_back(text.size() > room);
      text = text.substr(0, room);
      // Not through the middle of a character.
      if (cut.back()) {
        while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xC0) == 0x80) text.remove_suffix(1);
        if (!text.empty() && (static_cast<unsigned char>(text.back()) & 0x80) != 0) text.remove_suffix(1);
      }
      input.push_back(prefix + std::string(text));
    }
    const json body = {{"model", options_.model}, {"input", std::move(input)}, {"encoding_format", "float"}};
    const HttpPost post{.url = url_,
                        .body = body.dump(-1, ' ', false, json::error_handler_t::replace),
                        .bearer = options_.api_key,
                        .ca_file = options_.ca_file,
                        .proxy_url = options_.proxy_url,
                        .answer_bytes_max = texts.size() * options_.dimensions * kBytesPerNumber + kAnswerBytes,
                        .connect_max = options_.connect_max,
                        .call_max = options_.call_max};
    absl::StatusOr<HttpAnswer> answer = Try(post, role);
    if (!answer.ok()) return answer.status();
    absl::StatusOr<std::vector<Embedding>> out = Read(answer->body, texts.size());
    if (!out.ok()) return out;
    for (size_t i = 0; i < texts.size(); ++i) {
      (*out)[i].truncated = cut[i];
      (*out)[i].tokens = std::min(options_.window_tokens, static_cast<uint32_t>(CountTokens(texts[i])));
    }
    return out;
  }

  absl::StatusOr<HttpAnswer> Try(const HttpPost& post, TextRole role) {
    absl::Duration pause = options_.pause;
    for (uint32_t tried = 1;; ++tried) {
      absl::StatusOr<HttpAnswer> answer = absl::UnavailableError("");
      {
        const Place place(*this, role);
        answer = Post(post);
      }
      if (answer.ok() && answer->status == 200) return answer;
      if (!answer.ok() && !absl::IsUnavailable(answer.status())) return answer.status();
      const bool passing = !answer.ok() || answer->status == 408 || answer->status == 429 || answer->status >= 500;
      if (!passing || tried >= options_.tries_max) {
        if (!answer.ok()) return answer.status();
        const std::string said = absl::StrCat(url_, " answered ", answer->status, ": ", Quoted(answer->body));
        return passing ? absl::UnavailableError(said) : absl::FailedPreconditionError(said);
      }
      // A place is not held meanwhile. What the server asks for is granted up to a limit of ours.
      absl::SleepFor(std::min(kPauseMax, answer.ok() ? std::max(pause, answer->retry_after) : pause));
      pause *= 2;
    }
  }

  absl::Status Wrong(const std::string& what) const {
    return absl::FailedPreconditionError(absl::StrCat(url_, " answered what is no answer: ", what));
  }

  absl::StatusOr<std::vector<Embedding>> Read(const std::string& body, size_t count) const {
    const json answer = json::parse(body, nullptr, false);
    if (!answer.is_object() || !answer.contains("data") || !answer["data"].is_array())
      return Wrong("no JSON with data");
    const json& data = answer["data"];
    if (data.size() != count) return Wrong(absl::StrCat(data.size(), " vectors for ", count, " texts"));
    std::vector<Embedding> out(count);
    for (size_t i = 0; i < count; ++i) {
      const json& one = data[i];
      if (!one.is_object() || !one.contains("embedding") || !one["embedding"].is_array()) return Wrong("no embedding");
      size_t place = i;
      if (one.contains("index")) {
        if (!one["index"].is_number_unsigned()) return Wrong("an index that is no number");
        place = one["index"].get<size_t>();
      }
      if (place >= count || !out[place].values.empty())
        return Wrong(absl::StrCat("index ", place, " twice or too high"));
      absl::StatusOr<std::vector<float>> values = UnitVector(one["embedding"]);
      if (!values.ok()) return values.status();
      out[place].values = *std::move(values);
    }
    return out;
  }

  absl::StatusOr<std::vector<float>> UnitVector(const json& numbers) const {
    if (numbers.size() != options_.dimensions) {
      return Wrong(
          absl::StrCat("vectors of ", numbers.size(), " numbers; the configuration says ", options_.dimensions));
    }
    double square = 0;
    for (const json& number : numbers) {
      if (!number.is_number()) return Wrong("a vector with something that is no number");
      square += number.get<double>() * number.get<double>();
    }
    if (!std::isfinite(square) || square <= 0) return Wrong("a vector without direction");
    std::vector<float> out;
    out.reserve(numbers.size());
    for (const json& number : numbers) out.push_back(static_cast<float>(number.get<double>() / std::sqrt(square)));
    return out;
  }

  const RemoteEmbedderOptions options_;
  const std::string name_;
  const std::string url_;
  const std::string alias_ = "remote";
  const std::string licence_ = "as the endpoint's owner says";
  std::mutex mutex_;
  std::condition_variable free_;
  uint32_t calls_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Embedder>> MakeRemoteEmbedder(RemoteEmbedderOptions options) {
  if (!options.base_url.starts_with("http://") && !options.base_url.starts_with("https://")) {
    return Invalid(
        absl::StrCat("the base URL is \"", options.base_url, "\"; right is one like http://localhost:8000/v1"));
  }
  while (options.base_url.ends_with('/')) options.base_url.pop_back();
  if (options.model.empty()) return Invalid("no model is named");
  if (options.dimensions < 1 || options.dimensions > kDimensionsMax) {
    return Invalid(absl::StrCat("dimensions are ", options.dimensions, "; right is what the model gives, 1 to 4096"));
  }
  if (options.window_tokens < kWindowMin || options.window_tokens > kWindowMax) {
    return Invalid(absl::StrCat("window_tokens are ", options.window_tokens, "; right are 64 to 32768"));
  }
  options.batch_max = std::clamp(options.batch_max, 1u, kBatchMax);
  options.calls_max = std::max(options.calls_max, 1u);
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (std::any_of(options.api_key.begin(), options.api_key.end(), control))
    return Invalid("the key has control characters");
  return std::make_unique<RemoteEmbedder>(std::move(options));
}

}  // namespace carrel::retrieval
