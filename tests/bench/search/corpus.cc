#include "corpus.h"

#include <cmath>
#include <fstream>
#include <sstream>
#include <unordered_map>

#include "cli/seeded_random.h"

namespace carrel::bench {
namespace {

using cli::SeededRandom;

constexpr uint32_t kLatent = 48;
constexpr uint32_t kClusters = 500;
constexpr float kSpread = 0.8F;  // of a cluster, in units of the distance between centres
constexpr float kNoise = 0.05F;
constexpr uint32_t kWords = 70;
constexpr double kRareWords = 100'000;

std::vector<std::string> Elements(const std::string& path, const std::string& tag) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream all;
  all << in.rdbuf();
  const std::string xml = all.str(), open = "<" + tag + ">", close = "</" + tag + ">";
  std::vector<std::string> out;
  for (size_t at = xml.find(open); at != xml.npos; at = xml.find(open, at)) {
    at += open.size();
    std::istringstream words(xml.substr(at, xml.find(close, at) - at));
    std::string text;
    for (std::string word; words >> word;) text += (text.empty() ? "" : " ") + word;
    out.push_back(std::move(text));
  }
  return out;
}

}  // namespace

Corpus::Corpus(const std::string& testdata) : questions_(Elements(testdata + "/cranfield/cran.qry.xml", "title")) {
  std::unordered_map<std::string, uint32_t> numbers;
  for (const std::string& text : Elements(testdata + "/cranfield/cran.all.1400.xml", "text")) {
    std::istringstream in(text);
    uint32_t before = 0;
    bool first = true;
    for (std::string word; in >> word; first = false) {
      const auto [found, added] = numbers.try_emplace(word, static_cast<uint32_t>(words_.size()));
      if (added) {
        words_.push_back(word);
        followers_.emplace_back();
      }
      if (!first) followers_[before].push_back(found->second);
      before = found->second;
    }
  }
}

std::string Corpus::Paragraph(uint64_t number) const {
  SeededRandom random(number);
  std::string out;
  auto word = static_cast<uint32_t>(random.Below(words_.size()));
  for (uint32_t i = 0; i < kWords; ++i) {
    if (!out.empty()) out += ' ';
    if (random.Below(16) == 0) {
      out += "r" + std::to_string(static_cast<uint64_t>(std::pow(kRareWords, random.Unit())));
    } else {
      out += words_[word];
    }
    const std::vector<uint32_t>& next = followers_[word];
    word = next.empty() ? static_cast<uint32_t>(random.Below(words_.size())) : next[random.Below(next.size())];
  }
  return out + ".";
}

Vectors::Vectors() {
  SeededRandom random(1);
  for (uint32_t i = 0; i < kLatent * kDimensions; ++i) basis_.push_back(random.Normal());
  for (uint32_t i = 0; i < kClusters * kLatent; ++i) centres_.push_back(random.Normal());
}

std::vector<float> Vectors::Of(uint64_t number) const {
  SeededRandom random(number ^ 0x5bd1e995);
  const float* const centre = centres_.data() + random.Below(kClusters) * kLatent;
  std::vector<float> out(kDimensions);
  for (float& v : out) v = kNoise * static_cast<float>(random.Below(2001)) / 500.0F - 2 * kNoise;
  for (uint32_t l = 0; l < kLatent; ++l) {
    const float latent = (centre[l] + kSpread * random.Normal()) / std::sqrt(static_cast<float>(kLatent));
    const float* const direction = basis_.data() + l * kDimensions;
    for (uint32_t d = 0; d < kDimensions; ++d) out[d] += latent * direction[d];
  }
  double square = 0;
  for (const float v : out) square += double{v} * v;
  for (float& v : out) v = static_cast<float>(v / std::sqrt(square));
  return out;
}

std::vector<float> Vectors::OfText(std::string_view text) const {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return Of(hash);
}

}  // namespace carrel::bench
