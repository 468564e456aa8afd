#include "retrieval/openvino_embedder.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <map>
#include <mutex>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "int8_weights.h"
#include "openvino/openvino.hpp"
#include "retrieval/wordpiece.h"
#include "sandbox/usable_resources.h"
#include "views.h"

namespace carrel::retrieval {
namespace {

constexpr size_t kBatch = 8;              // measured: larger batches are no faster on a CPU and wait longer
constexpr uint32_t kThreadsMax = 8;       // a small model does not scale further
constexpr uint32_t kQueryThreadsMax = 2;  // a question is short: more threads wait for each other
constexpr size_t kLengthStep = 16;        // lengths are rounded up, so that few shapes are compiled
// A question's time is proportional to its length, padding included: the usual lengths are rounded less, and compiled
// before the first question comes.
constexpr size_t kQueryLengthStep = 4;
constexpr size_t kQueryLengthUsualMax = 48;
constexpr double kWorthwhile = 0.9;      // of the time, at most: what a coarser precision must gain to be taken
constexpr double kAgreementMin = 0.999;  // cosine of its vectors to f32's
constexpr uint64_t kInt8Group = 64;      // of what is multiplied with int8 weights, as many numbers have one scale
constexpr size_t kTextBytesPerTokenMax = 512;  // what of a giant text is tokenized at all: see Clip

struct Tokens {
  std::vector<int32_t> ids;
  bool truncated = false;
};

// What the numbers of an inference are.
enum class Precision { kF32, kBf16, kInt8 };

// A compiled model with one infer request and its lock. Queries have one of their own: requests of one compiled model
// wait for each other, and a batch of passages takes a second.
struct Lane {
  std::mutex mutex;
  ov::CompiledModel compiled;
  ov::InferRequest request;
};

class OpenVinoEmbedder final : public Embedder {
 public:
  OpenVinoEmbedder(ModelDirectory model, WordPiece tokenizer, OpenVinoOptions options)
      : model_(std::move(model)), tokenizer_(std::move(tokenizer)), options_(options) {}

  // Compiles the model, once; the first error stays.
  absl::Status Load() {
    std::call_once(loaded_once_, [this] { loaded_ = Compile(); });
    return loaded_;
  }

  const std::string& name() const override { return model_.name; }
  const std::string& alias() const override { return model_.alias; }
  const std::string& licence() const override { return model_.licence; }
  uint32_t dimensions() const override { return model_.dimensions; }
  uint32_t window_tokens() const override { return model_.window_tokens; }
  uint32_t batch() const override { return kBatch; }
  std::optional<Calibration> calibration() const override { return model_.calibration; }
  size_t CountTokens(std::string_view utf8) const override { return tokenizer_.Encode(utf8).size(); }

  absl::StatusOr<std::vector<Embedding>> Embed(std::span<const std::string_view> texts, TextRole role) override {
    if (absl::Status status = Load(); !status.ok()) return status;
    return EmbedLoaded(texts, role);
  }

 private:
  // What a lane takes for a batch that is like the work, and what comes out.
  struct Trial {
    absl::Duration time = absl::InfiniteDuration();
    std::vector<Embedding> vectors;
  };

  absl::Status Compile() {
    try {
      ov::Core core;
      const std::shared_ptr<ov::Model> model = core.read_model(model_.weights_path);
      for (const auto& input : model->inputs()) {
        if (input.get_names().contains("token_type_ids")) has_token_types_ = true;
      }
      if (absl::Status status = ChoosePrecisions(core, model); !status.ok()) return status;
    } catch (const std::exception& e) {
      return absl::FailedPreconditionError(absl::StrCat(model_.weights_path, ": ", e.what()));
    }
    return CompileUsualLengths();
  }

  // f32 is what must work. Of the coarser precisions errors and exceptions are no errors: they are not taken.
  absl::Status ChoosePrecisions(ov::Core& core, const std::shared_ptr<ov::Model>& model) {
    const uint32_t threads =
        options_.threads_max > 0 ? options_.threads_max : std::min(kThreadsMax, sandbox::UsableCpus());
    for (const auto& [role, most] :
         {std::pair(TextRole::kPassage, threads), std::pair(TextRole::kQuery, std::min(threads, kQueryThreadsMax))}) {
      std::unique_ptr<Lane>& chosen = LaneOf(role);
      chosen = MakeLane(core, model, Precision::kF32, most);
      if (!options_.fastest_precision) {
        const std::string_view probe = "probe";
        if (absl::Status status = EmbedLoaded({&probe, 1}, role).status(); !status.ok()) return status;
        continue;
      }
      absl::StatusOr<Trial> exact = Try(role);
      if (!exact.ok()) return exact.status();
      absl::Duration time = exact->time;
      for (const Precision precision : CoarserPrecisions(core, role)) {
        std::unique_ptr<Lane> other = MakeLaneOrNull(core, model, precision, most);
        if (other == nullptr) continue;
        std::swap(chosen, other);
        const absl::StatusOr<Trial> trial = Try(role);
        if (trial.ok() && trial->time < time * kWorthwhile && Agree(*exact, *trial)) {
          time = trial->time;
        } else {
          std::swap(chosen, other);
        }
      }
    }
    return absl::OkStatus();
  }

  // Passages are kept, and compared with each other's for years: they stay with what is nearly exact. A question's
  // vector is used once.
  static std::vector<Precision> CoarserPrecisions(ov::Core& core, TextRole role) {
    std::vector<std::string> capabilities;
    try {
      capabilities = core.get_property("CPU", ov::device::capabilities);
    } catch (const std::exception&) {
      return {};
    }
    const auto can = [&](std::string_view name) {
      return std::find(capabilities.begin(), capabilities.end(), name) != capabilities.end();
    };
    std::vector<Precision> out;
    if (can("BF16")) out.push_back(Precision::kBf16);
    if (role == TextRole::kQuery && can("INT8")) out.push_back(Precision::kInt8);
    return out;
  }

  // OpenVINO picks bf16 by itself on some processors, which is emulated, and slow, on others: say what we want. Throws.
  static std::unique_ptr<Lane> MakeLane(ov::Core& core, const std::shared_ptr<ov::Model>& model, Precision precision,
                                        uint32_t threads) {
    auto lane = std::make_unique<Lane>();
    const bool int8 = precision == Precision::kInt8;
    ov::AnyMap how{ov::hint::inference_precision(precision == Precision::kBf16 ? ov::element::bf16 : ov::element::f32),
                   ov::inference_num_threads(static_cast<int>(threads)), ov::num_streams(1)};
    if (int8) how.insert(ov::hint::dynamic_quantization_group_size(kInt8Group));
    lane->compiled = core.compile_model(int8 ? WithInt8Weights(*model) : model, "CPU", how);
    lane->request = lane->compiled.create_infer_request();
    return lane;
  }

  static std::unique_ptr<Lane> MakeLaneOrNull(ov::Core& core, const std::shared_ptr<ov::Model>& model,
                                              Precision precision, uint32_t threads) {
    try {
      return MakeLane(core, model, precision, threads);
    } catch (const std::exception&) {
      return nullptr;
    }
  }

  std::unique_ptr<Lane>& LaneOf(TextRole role) { return role == TextRole::kQuery ? query_lane_ : passage_lane_; }

  absl::StatusOr<Trial> Try(TextRole role) {
    const std::string sentence =
        "The pressure distribution over the upper surface was measured at several angles of incidence. ";
    std::string passage;
    for (int i = 0; i < 8; ++i) passage += sentence;
    const std::vector<std::string_view> texts =
        role == TextRole::kQuery ? std::vector<std::string_view>{sentence} : std::vector<std::string_view>(2, passage);
    const int rounds = role == TextRole::kQuery ? 9 : 4;  // the best of them; the first compiles for this shape
    Trial out;
    for (int round = 0; round < rounds; ++round) {
      const absl::Time start = absl::Now();
      absl::StatusOr<std::vector<Embedding>> vectors = EmbedLoaded(texts, role);
      if (!vectors.ok()) return vectors.status();
      if (round > 0) out.time = std::min(out.time, absl::Now() - start);
      out.vectors = *std::move(vectors);
    }
    return out;
  }

  static bool Agree(const Trial& a, const Trial& b) {
    double cosine = 0;
    for (size_t d = 0; d < a.vectors[0].values.size(); ++d) {
      cosine += double{a.vectors[0].values[d]} * b.vectors[0].values[d];
    }
    return cosine >= kAgreementMin;
  }

  // Each length that questions usually have takes some 25 ms when it comes first.
  absl::Status CompileUsualLengths() {
    std::string question;
    for (size_t tokens = 0; tokens < kQueryLengthUsualMax - 2; ++tokens) {
      question += "a ";
      const std::string_view text = question;
      if (CountTokens(absl::StrCat(model_.query_prefix, question)) + 2 > kQueryLengthUsualMax) break;
      if (tokens % kQueryLengthStep != 0) continue;
      if (absl::Status status = EmbedLoaded({&text, 1}, TextRole::kQuery).status(); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<Embedding>> EmbedLoaded(std::span<const std::string_view> texts, TextRole role) {
    const std::string& prefix = role == TextRole::kQuery ? model_.query_prefix : model_.passage_prefix;
    std::vector<Tokens> tokens;
    tokens.reserve(texts.size());
    for (const std::string_view text : texts) tokens.push_back(Tokenize(absl::StrCat(prefix, Sv(Clip(text)))));
    std::vector<size_t> order(texts.size());
    std::iota(order.begin(), order.end(), size_t{0});
    // Neighbours of like length waste little padding.
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return tokens[a].ids.size() < tokens[b].ids.size(); });
    std::vector<Embedding> out(texts.size());
    for (size_t begin = 0; begin < order.size(); begin += kBatch) {
      const std::span<const size_t> batch = std::span(order).subspan(begin, std::min(kBatch, order.size() - begin));
      if (absl::Status status = Run(tokens, batch, role, out); !status.ok()) return status;
    }
    return out;
  }

  // A word of more than a hundred characters is one token, so a text of megabytes could fit the window; nobody's
  // meaning is in there, and tokenizing it would cost.
  std::string_view Clip(std::string_view text) const {
    return text.substr(0, size_t{model_.window_tokens} * kTextBytesPerTokenMax);
  }

  Tokens Tokenize(std::string_view text) const {
    Tokens out;
    out.ids = tokenizer_.Encode(text);
    const size_t room = model_.window_tokens - 2;
    out.truncated = out.ids.size() > room;
    if (out.truncated) out.ids.resize(room);
    out.ids.insert(out.ids.begin(), tokenizer_.cls());
    out.ids.push_back(tokenizer_.sep());
    return out;
  }

  absl::Status Run(const std::vector<Tokens>& tokens, std::span<const size_t> batch, TextRole role,
                   std::vector<Embedding>& out) {
    size_t length = 0;
    for (const size_t i : batch) length = std::max(length, tokens[i].ids.size());
    const size_t step = role == TextRole::kQuery && length <= kQueryLengthUsualMax ? kQueryLengthStep : kLengthStep;
    length = std::min<size_t>((length + step - 1) / step * step, model_.window_tokens);
    try {
      const ov::Shape shape{batch.size(), length};
      ov::Tensor ids(ov::element::i64, shape);
      ov::Tensor mask(ov::element::i64, shape);
      ov::Tensor types(ov::element::i64, shape);
      std::fill_n(ids.data<int64_t>(), ids.get_size(), tokenizer_.pad());
      std::fill_n(mask.data<int64_t>(), mask.get_size(), 0);
      std::fill_n(types.data<int64_t>(), types.get_size(), 0);
      for (size_t row = 0; row < batch.size(); ++row) {
        const std::vector<int32_t>& source = tokens[batch[row]].ids;
        std::copy(source.begin(), source.end(), ids.data<int64_t>() + row * length);
        std::fill_n(mask.data<int64_t>() + row * length, source.size(), 1);
      }
      Lane& lane = *LaneOf(role);
      const std::lock_guard lock(lane.mutex);
      lane.request.set_tensor("input_ids", ids);
      lane.request.set_tensor("attention_mask", mask);
      if (has_token_types_) lane.request.set_tensor("token_type_ids", types);
      lane.request.infer();
      const ov::Tensor hidden = lane.request.get_output_tensor(0);
      const ov::Shape expected{batch.size(), length, model_.dimensions};
      if (hidden.get_shape() != expected || hidden.get_element_type() != ov::element::f32) {
        return absl::FailedPreconditionError(absl::StrCat(model_.name, ": the first output has another shape"));
      }
      for (size_t row = 0; row < batch.size(); ++row) {
        const Tokens& source = tokens[batch[row]];
        out[batch[row]] = Pool(hidden.data<const float>() + row * length * model_.dimensions, source);
      }
      return absl::OkStatus();
    } catch (const std::exception& e) {
      return absl::InternalError(absl::StrCat("OpenVINO: ", e.what()));
    }
  }

  Embedding Pool(const float* hidden, const Tokens& tokens) const {
    Embedding out{.tokens = static_cast<uint32_t>(tokens.ids.size()), .truncated = tokens.truncated};
    out.values.assign(hidden, hidden + model_.dimensions);
    if (model_.pooling == Pooling::kMean) {
      for (size_t t = 1; t < tokens.ids.size(); ++t) {
        const float* token = hidden + t * model_.dimensions;
        for (size_t d = 0; d < model_.dimensions; ++d) out.values[d] += token[d];
      }
    }
    double square = 0;
    for (const float v : out.values) square += double{v} * v;
    const double scale = square > 0 ? 1 / std::sqrt(square) : 0;
    for (float& v : out.values) v = static_cast<float>(v * scale);
    return out;
  }

  const ModelDirectory model_;
  const WordPiece tokenizer_;
  const OpenVinoOptions options_;
  std::once_flag loaded_once_;
  absl::Status loaded_;
  bool has_token_types_ = false;
  std::unique_ptr<Lane> passage_lane_;
  std::unique_ptr<Lane> query_lane_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Embedder>> MakeOpenVinoEmbedder(const ModelDirectory& model,
                                                               const OpenVinoOptions& options) {
  absl::StatusOr<WordPiece> tokenizer = WordPiece::Load(model.tokenizer_path);
  if (!tokenizer.ok()) return tokenizer.status();
  auto embedder = std::make_unique<OpenVinoEmbedder>(model, *std::move(tokenizer), options);
  if (!options.load_at_first_use) {
    if (absl::Status status = embedder->Load(); !status.ok()) return status;
  }
  return embedder;
}

}  // namespace carrel::retrieval
