// What holds of every document made of what an extractor sent, sound or hostile, and of everything our own readers
// send.
#pragma once

#include <functional>

#include "frame_writer.h"
#include "retrieval/frame_decoder.h"

namespace carrel::fuzz {

// Pages and headings lie within the text and follow each other; pages survive being stored; passages are cut of the
// body.
void CheckDocument(retrieval::RawDocument raw);

// The decoder takes all that the reader sends, and the document keeps its promises.
void CheckReader(const std::function<retrieval::extract::Verdict(retrieval::extract::FrameWriter&)>& read);

}  // namespace carrel::fuzz
