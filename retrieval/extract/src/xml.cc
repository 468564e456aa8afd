#include "xml.h"

#include <expat.h>

#include <algorithm>
#include <exception>
#include <map>
#include <new>
#include <tuple>
#include <utility>

#include "block_writer.h"

namespace carrel::retrieval::extract {
namespace {

std::string_view Local(std::string_view name) {
  const size_t colon = name.rfind(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

bool Matches(std::string_view name, std::string_view local, bool prefixed) {
  const std::string_view plain = Local(name);
  return plain == local && (!prefixed || plain.size() != name.size());
}

}  // namespace

std::string_view XmlAttributes::Get(std::string_view local, bool prefixed) const {
  for (const char** pair = pairs_; *pair != nullptr; pair += 2) {
    if (Matches(pair[0], local, prefixed)) return pair[1];
  }
  return {};
}

// No exception may pass through expat, which is C: it is kept, and thrown again when expat has returned.
struct XmlParser::State {
  std::string part;
  XmlEvents& events;
  XML_Parser parser = nullptr;
  uint32_t depth = 0;
  std::exception_ptr thrown;

  template <typename Call>
  void Guard(Call call) {
    if (thrown) return;
    try {
      call();
    } catch (...) {
      thrown = std::current_exception();
      XML_StopParser(parser, XML_FALSE);
    }
  }

  [[nodiscard]] Refusal Damaged(const std::string& how) const {
    return {{.verdict = wire::ExtractVerdict::kDamaged, .sentence = "The document is damaged: " + part + how + "."}};
  }

  static void XMLCALL OnBegin(void* user, const char* name, const char** attributes) {
    auto& self = *static_cast<State*>(user);
    self.Guard([&] {
      if (++self.depth > kXmlDepthMax) {
        throw ShapeLimit{"at most " + std::to_string(kXmlDepthMax) + " levels of nesting are read (in " + self.part +
                         ")"};
      }
      self.events.Begin(Local(name), XmlAttributes(attributes));
    });
  }
  static void XMLCALL OnEnd(void* user, const char* name) {
    auto& self = *static_cast<State*>(user);
    self.Guard([&] {
      --self.depth;
      self.events.End(Local(name));
    });
  }
  static void XMLCALL OnText(void* user, const char* text, int size) {
    auto& self = *static_cast<State*>(user);
    self.Guard([&] { self.events.Text({text, static_cast<size_t>(size)}); });
  }
  static void XMLCALL OnDoctype(void* user, const char*, const char*, const char*, int) {
    auto& self = *static_cast<State*>(user);
    self.Guard([&] { throw self.Damaged(" declares a document type, as XML bombs do and Office never does"); });
  }

  void Parse(std::string_view bytes, bool last) {
    // expat counts in int.
    constexpr size_t kPiece = 1u << 20;
    do {
      const std::string_view piece = bytes.substr(0, kPiece);
      bytes.remove_prefix(piece.size());
      const XML_Status status =
          XML_Parse(parser, piece.data(), static_cast<int>(piece.size()), last && bytes.empty() ? 1 : 0);
      if (thrown) std::rethrow_exception(std::exchange(thrown, nullptr));
      if (status == XML_STATUS_OK) continue;
      if (XML_GetErrorCode(parser) == XML_ERROR_NO_MEMORY) throw std::bad_alloc();
      throw Damaged(" is no XML at line " + std::to_string(XML_GetCurrentLineNumber(parser)));
    } while (!bytes.empty());
  }
};

XmlParser::XmlParser(std::string part, XmlEvents& events)
    : state_(std::make_unique<State>(State{.part = std::move(part), .events = events})) {
  state_->parser = XML_ParserCreate(nullptr);
  if (state_->parser == nullptr) throw std::bad_alloc();
  XML_SetUserData(state_->parser, state_.get());
  XML_SetElementHandler(state_->parser, State::OnBegin, State::OnEnd);
  XML_SetCharacterDataHandler(state_->parser, State::OnText);
  XML_SetStartDoctypeDeclHandler(state_->parser, State::OnDoctype);
}
XmlParser::~XmlParser() { XML_ParserFree(state_->parser); }
void XmlParser::Feed(std::string_view bytes) {
  if (!bytes.empty()) state_->Parse(bytes, false);
}
void XmlParser::Finish() { state_->Parse({}, true); }

class XmlTreeBuilder final : public XmlEvents {
 public:
  void Begin(std::string_view name, const XmlAttributes& attributes) override {
    const uint32_t id = Add({.name = NameId(name), .begin = static_cast<uint32_t>(tree_.attributes_.size())});
    uint32_t count = 0;
    for (const char** pair = attributes.pairs(); *pair != nullptr; pair += 2, ++count) {
      XmlTree::Attr attribute{};
      std::tie(attribute.name_begin, attribute.name_size) = Keep(pair[0]);
      std::tie(attribute.value_begin, attribute.value_size) = Keep(pair[1]);
      tree_.attributes_.push_back(attribute);
    }
    tree_.nodes_[id].size = count;
    open_.push_back({.id = id, .last_child = 0});
  }
  void End(std::string_view) override { open_.pop_back(); }
  void Text(std::string_view text) override {
    const uint32_t last = open_.back().last_child;
    const auto [begin, size] = Keep(text);
    // Pieces of one text follow each other in the store, as nothing stands between them.
    if (last != 0 && tree_.nodes_[last].name == XmlTree::kText &&
        tree_.nodes_[last].begin + tree_.nodes_[last].size == begin) {
      tree_.nodes_[last].size += size;
      return;
    }
    Add({.name = XmlTree::kText, .begin = begin, .size = size});
  }
  [[nodiscard]] XmlTree Take() { return std::move(tree_); }

 private:
  struct Open {
    uint32_t id;
    uint32_t last_child;
  };

  uint32_t Add(const XmlTree::Node& node) {
    const auto id = static_cast<uint32_t>(tree_.nodes_.size());
    if (id == kXmlNodesMax) {
      throw ShapeLimit{"at most " + std::to_string(kXmlNodesMax) + " elements of a part are read"};
    }
    tree_.nodes_.push_back(node);
    if (!open_.empty()) {
      Open& parent = open_.back();
      (parent.last_child == 0 ? tree_.nodes_[parent.id].first_child : tree_.nodes_[parent.last_child].next) = id;
      parent.last_child = id;
    }
    return id;
  }

  uint32_t NameId(std::string_view name) {
    const auto [at, is_new] = ids_.try_emplace(std::string(name), static_cast<uint32_t>(tree_.names_.size()));
    if (is_new) tree_.names_.emplace_back(name);
    return at->second;
  }

  std::pair<uint32_t, uint32_t> Keep(std::string_view text) {
    const auto begin = static_cast<uint32_t>(tree_.store_.size());
    tree_.store_ += text;
    return {begin, static_cast<uint32_t>(text.size())};
  }

  XmlTree tree_;
  std::vector<Open> open_;
  std::map<std::string, uint32_t, std::less<>> ids_;
};

XmlTree XmlTree::Parse(std::string part, std::string_view bytes) {
  XmlTreeBuilder builder;
  XmlParser parser(std::move(part), builder);
  parser.Feed(bytes);
  parser.Finish();
  return builder.Take();
}

std::string_view XmlTree::Name(Id id) const { return IsText(id) ? std::string_view() : names_[nodes_[id].name]; }

std::string_view XmlTree::TextOf(Id id) const {
  if (!IsText(id)) return {};
  return std::string_view(store_).substr(nodes_[id].begin, nodes_[id].size);
}

std::string_view XmlTree::Attribute(Id id, std::string_view local, bool prefixed) const {
  if (IsText(id)) return {};
  const std::string_view store = store_;
  for (uint32_t i = 0; i < nodes_[id].size; ++i) {
    const Attr& attribute = attributes_[nodes_[id].begin + i];
    if (Matches(store.substr(attribute.name_begin, attribute.name_size), local, prefixed)) {
      return store.substr(attribute.value_begin, attribute.value_size);
    }
  }
  return {};
}

XmlTree::Id XmlTree::Child(Id id, std::string_view name) const {
  for (Id child = nodes_[id].first_child; child != 0; child = nodes_[child].next) {
    if (Name(child) == name) return child;
  }
  return 0;
}

}  // namespace carrel::retrieval::extract
