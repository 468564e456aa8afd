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
#include "first_token.h"
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
constexpr size_t kLengthStep = 16;        // lengths are rounded up, so that few shapes are prepared for
// What most questions take, special tokens and the model's prefix included. A model that is compiled for one length
// only answers in two thirds of the time of one that has to prepare itself for another length each time. More lengths
// would save padding, and lose as much: each has weights of its own, which drive the others' out of the processor's
// cache.
constexpr size_t kQuestionLengths[] = {32, 48};
// Each takes some 43 MB, which small containers have a better use for.
constexpr uint64_t kMemoryForQuestionLengths = uint64_t{2} << 30;
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

// A model, with the numbers that it is to be compiled for.
struct Precise {
  std::shared_ptr<ov::Model> model;
  Precision precision = Precision::kF32;
};

// A compiled model with one infer request and its lock. Queries have some of their own: requests of one compiled model
// wait for each other, and a batch of passages takes a second.
struct Lane {
  size_t length = 0;  // of the only text that it takes, in tokens; 0: as many and as long as they come
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
      std::shared_ptr<ov::Model> model = core.read_model(model_.weights_path);
      for (const auto& input : model->inputs()) {
        if (input.get_names().contains("token_type_ids")) has_token_types_ = true;
      }
      if (model_.pooling == Pooling::kCls) {
        if (std::shared_ptr<ov::Model> smaller = ForFirstToken(*model)) model = std::move(smaller);
      }
      return CompileLanes(core, model);
    } catch (const std::exception& e) {
      return absl::FailedPreconditionError(absl::StrCat(model_.weights_path, ": ", e.what()));
    }
  }

  absl::Status CompileLanes(ov::Core& core, const std::shared_ptr<ov::Model>& model) {
    const uint32_t threads =
        options_.threads_max > 0 ? options_.threads_max : std::min(kThreadsMax, sandbox::UsableCpus());
    const uint32_t question_threads = std::min(threads, kQueryThreadsMax);
    absl::StatusOr<Precise> chosen = CompileLane(core, {model}, TextRole::kPassage, threads);
    if (!chosen.ok()) return chosen.status();
    chosen = CompileLane(core, {model}, TextRole::kQuery, question_threads);
    if (!chosen.ok()) return chosen.status();
    if (!options_.fastest) return absl::OkStatus();
    if (sandbox::UsableMemoryBytes() < kMemoryForQuestionLengths) return PrepareUsualLengths();
    for (const size_t length : kQuestionLengths) {
      if (length > model_.window_tokens) break;
      question_lanes_.push_back(MakeLane(core, *chosen, question_threads, length));
    }
    return absl::OkStatus();
  }

  // Each length takes the lane for all lengths some 25 ms when it comes first.
  absl::Status PrepareUsualLengths() {
    std::string question;
    for (size_t words = 0; words < kQuestionLengths[std::size(kQuestionLengths) - 1]; ++words) {
      if (words % kLengthStep == 0) {
        const std::string_view text = question;
        if (absl::Status status = EmbedLoaded({&text, 1}, TextRole::kQuery).status(); !status.ok()) return status;
      }
      question += "a ";
    }
    return absl::OkStatus();
  }

  // f32 is what must work. Of the coarser precisions errors and exceptions are no errors: they are not taken.
  absl::StatusOr<Precise> CompileLane(ov::Core& core, const Precise& f32, TextRole role, uint32_t threads) {
    std::unique_ptr<Lane>& lane = AnyLengthLane(role);
    lane = MakeLane(core, f32, threads);
    if (!options_.fastest) {
      const std::string_view probe = "probe";
      if (absl::Status status = EmbedLoaded({&probe, 1}, role).status(); !status.ok()) return status;
      return f32;
    }
    absl::StatusOr<Trial> exact = Try(role);
    if (!exact.ok()) return exact.status();
    Precise chosen = f32;
    absl::Duration time = exact->time;
    for (const Precision precision : CoarserPrecisions(core, role)) {
      Precise coarser{precision == Precision::kInt8 ? WithInt8Weights(*f32.model) : f32.model, precision};
      std::unique_ptr<Lane> other = MakeLaneOrNull(core, coarser, threads);
      if (other == nullptr) continue;
      std::swap(lane, other);
      const absl::StatusOr<Trial> trial = Try(role);
      if (trial.ok() && trial->time < time * kWorthwhile && Agree(*exact, *trial)) {
        time = trial->time;
        chosen = std::move(coarser);
      } else {
        std::swap(lane, other);
      }
    }
    return chosen;
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
  static std::unique_ptr<Lane> MakeLane(ov::Core& core, Precise precise, uint32_t threads, size_t length = 0) {
    auto& [model, precision] = precise;
    auto lane = std::make_unique<Lane>();
    ov::AnyMap how{ov::hint::inference_precision(precision == Precision::kBf16 ? ov::element::bf16 : ov::element::f32),
                   ov::inference_num_threads(static_cast<int>(threads)), ov::num_streams(1)};
    if (precision == Precision::kInt8) how.insert(ov::hint::dynamic_quantization_group_size(kInt8Group));
    if (length > 0) {
      model = model->clone();
      std::map<ov::Output<ov::Node>, ov::PartialShape> shapes;
      for (const ov::Output<ov::Node>& input : model->inputs()) shapes[input] = {1, static_cast<int64_t>(length)};
      model->reshape(shapes);
    }
    lane->length = length;
    lane->compiled = core.compile_model(model, "CPU", how);
    lane->request = lane->compiled.create_infer_request();
    if (length > 0) lane->request.infer();
    return lane;
  }

  static std::unique_ptr<Lane> MakeLaneOrNull(ov::Core& core, const Precise& precise, uint32_t threads) {
    try {
      return MakeLane(core, precise, threads);
    } catch (const std::exception&) {
      return nullptr;
    }
  }

  std::unique_ptr<Lane>& AnyLengthLane(TextRole role) { return role == TextRole::kQuery ? query_lane_ : passage_lane_; }

  // For texts the longest of which has that many tokens.
  Lane& LaneFor(TextRole role, size_t texts, size_t tokens) {
    if (role == TextRole::kQuery && texts == 1) {
      for (const std::unique_ptr<Lane>& lane : question_lanes_) {
        if (lane->length >= tokens) return *lane;
      }
    }
    return *AnyLengthLane(role);
  }

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
    // Questions go one by one, each at its own length: together they gain nothing on a CPU.
    const size_t batch_max = role == TextRole::kQuery ? 1 : kBatch;
    for (size_t begin = 0; begin < order.size(); begin += batch_max) {
      const std::span<const size_t> batch = std::span(order).subspan(begin, std::min(batch_max, order.size() - begin));
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
    size_t longest = 0;
    for (const size_t i : batch) longest = std::max(longest, tokens[i].ids.size());
    Lane& lane = LaneFor(role, batch.size(), longest);
    const size_t rounded = (longest + kLengthStep - 1) / kLengthStep * kLengthStep;
    const size_t length = lane.length > 0 ? lane.length : std::min<size_t>(rounded, model_.window_tokens);
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
      const std::lock_guard lock(lane.mutex);
      lane.request.set_tensor("input_ids", ids);
      lane.request.set_tensor("attention_mask", mask);
      if (has_token_types_) lane.request.set_tensor("token_type_ids", types);
      lane.request.infer();
      const ov::Tensor hidden = lane.request.get_output_tensor(0);
      const ov::Shape shape_of_hidden = hidden.get_shape();
      const size_t rows = shape_of_hidden.size() == 3 ? shape_of_hidden[1] : 0;  // of a text: its tokens, or the first
      if (shape_of_hidden != ov::Shape{batch.size(), rows, model_.dimensions} ||
          (rows != length && !(rows == 1 && model_.pooling == Pooling::kCls)) ||
          hidden.get_element_type() != ov::element::f32) {
        return absl::FailedPreconditionError(absl::StrCat(model_.name, ": the first output has another shape"));
      }
      for (size_t row = 0; row < batch.size(); ++row) {
        const Tokens& source = tokens[batch[row]];
        out[batch[row]] = Pool(hidden.data<const float>() + row * rows * model_.dimensions, source);
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
  std::vector<std::unique_ptr<Lane>> question_lanes_;  // by length, the shortest first
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
