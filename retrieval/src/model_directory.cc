#include "retrieval/model_directory.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "retrieval/sha256.h"
#include "views.h"

namespace carrel::retrieval {
namespace {

using nlohmann::json;

constexpr uint32_t kDimensionsMax = 4096;  // what the store's records and the index are sized for
constexpr uint32_t kWindowMax = 8192;

absl::Status Wrong(const std::string& manifest, std::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat(manifest, ": ", Sv(what)));
}

absl::StatusOr<std::string> CheckedFile(const std::string& directory, const json& entry, const std::string& manifest) {
  const std::string file = entry.at("file").get<std::string>();
  if (file.empty() || file.find('/') != std::string::npos) return Wrong(manifest, "a file must be a plain name");
  const std::string path = absl::StrCat(directory, "/", file);
  absl::StatusOr<std::string> sha256 = Sha256OfFile(path);
  if (!sha256.ok()) return sha256.status();
  if (*sha256 != entry.at("sha256").get<std::string>()) {
    return Wrong(path, absl::StrCat("its sha256 is ", *sha256, ", not what the manifest says"));
  }
  return path;
}

absl::StatusOr<ModelDirectory> Parse(const std::string& directory, const std::string& manifest, const json& root) {
  static const std::set<std::string> kFields = {"format",    "name",   "dimensions",   "window_tokens",  "pooling",
                                                "licence",   "source", "query_prefix", "passage_prefix", "weights",
                                                "tokenizer", "alias",  "calibration"};
  for (const auto& [key, value] : root.items()) {
    if (!kFields.contains(key)) return Wrong(manifest, absl::StrCat("unknown field ", key));
  }
  if (root.at("format").get<int>() != 1) return Wrong(manifest, "format is not 1");
  ModelDirectory model{
      .name = root.at("name").get<std::string>(),
      .alias = root.value("alias", ""),
      .dimensions = root.at("dimensions").get<uint32_t>(),
      .window_tokens = root.at("window_tokens").get<uint32_t>(),
      .query_prefix = root.at("query_prefix").get<std::string>(),
      .passage_prefix = root.at("passage_prefix").get<std::string>(),
      .licence = root.at("licence").get<std::string>(),
  };
  const std::string pooling = root.at("pooling").get<std::string>();
  if (pooling != "mean" && pooling != "cls") return Wrong(manifest, "pooling is neither mean nor cls");
  model.pooling = pooling == "mean" ? Pooling::kMean : Pooling::kCls;
  if (model.dimensions == 0 || model.dimensions > kDimensionsMax) return Wrong(manifest, "dimensions: 1 to 4096");
  if (model.window_tokens < 16 || model.window_tokens > kWindowMax) return Wrong(manifest, "window_tokens: 16 to 8192");
  if (const auto found = root.find("calibration"); found != root.end()) {
    model.calibration = Calibration{.half = found->at("half").get<double>(), .width = found->at("width").get<double>()};
    if (!(model.calibration->width > 0)) return Wrong(manifest, "calibration.width: over 0");
  }
  absl::StatusOr<std::string> weights = CheckedFile(directory, root.at("weights"), manifest);
  if (!weights.ok()) return weights.status();
  absl::StatusOr<std::string> tokenizer = CheckedFile(directory, root.at("tokenizer"), manifest);
  if (!tokenizer.ok()) return tokenizer.status();
  model.weights_path = *std::move(weights);
  model.tokenizer_path = *std::move(tokenizer);
  return model;
}

}  // namespace

absl::StatusOr<ModelDirectory> OpenModelDirectory(const std::string& path) {
  const std::string manifest = absl::StrCat(path, "/manifest.json");
  std::ifstream in(manifest);
  if (!in) return absl::NotFoundError(absl::StrCat("there is no ", manifest));
  try {
    return Parse(path, manifest, json::parse(in));
  } catch (const json::exception& e) {
    return Wrong(manifest, e.what());
  }
}

absl::StatusOr<std::vector<ModelDirectory>> OpenModels(const std::string& directory, const std::string& first) {
  std::vector<std::string> paths;
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (std::filesystem::exists(it->path() / "manifest.json", error)) paths.push_back(it->path().string());
  }
  if (error) return absl::NotFoundError(absl::StrCat("the models in ", directory, ": ", error.message()));
  std::sort(paths.begin(), paths.end());
  std::vector<ModelDirectory> models;
  std::string names;
  for (const std::string& path : paths) {
    absl::StatusOr<ModelDirectory> model = OpenModelDirectory(path);
    if (!model.ok()) return model.status();
    absl::StrAppend(&names, names.empty() ? "" : ", ", model->name);
    if (!model->alias.empty()) absl::StrAppend(&names, " (", model->alias, ")");
    models.push_back(*std::move(model));
  }
  const auto wanted = std::find_if(models.begin(), models.end(),
                                   [&](const ModelDirectory& m) { return m.name == first || m.alias == first; });
  if (wanted == models.end()) {
    return absl::NotFoundError(absl::StrCat("there is no model ", first, " in ", directory, "; there are: ", names));
  }
  std::rotate(models.begin(), wanted, wanted + 1);
  return models;
}

}  // namespace carrel::retrieval
