//! What the users of a seeded world are called, say and write. Short and plain: there are millions of them.

/// The name of a user by number, the first is 1: whoever tests with a seeded world can name its users without asking.
pub fn user_name(number: u32) -> String {
    format!("user{number}")
}

/// What profiles say.
pub const SIGNATURES: &[&str] = &[
    "Slow mornings, long rides.",
    "在路上",
    "Coffee first.",
    "I film what moves.",
    "喜欢清晨的光",
    "Mostly harmless.",
    "记录生活",
    "Rain is weather too.",
    "Here for the cats 🐱",
    "今天也要开心",
    "Ask me about bread.",
    "",
];

/// What videos show.
pub const SUBJECTS: &[&str] = &[
    "Evening light",
    "雨后的街",
    "First snow",
    "Sunday market",
    "山路",
    "The last tram",
    "A cat on the wall",
    "夜宵",
    "Tea, again",
    "海边的风",
];

/// A title; no two numbers share one.
pub fn title(subject: &str, number: u32) -> String {
    format!("{subject} · {number}")
}

/// What stands under videos.
pub const COMMENTS: &[&str] = &[
    "太美了！",
    "Where is this?",
    "Again, please.",
    "哈哈哈哈",
    "That light!",
    "第一次看到",
    "I could watch this for an hour.",
    "好想去",
    "Which camera is that?",
    "😂😂😂",
    "Saved for a grey day.",
    "支持一下",
];

/// What friends write.
pub const MESSAGES: &[&str] = &[
    "在吗？",
    "Are you coming tonight?",
    "好的",
    "On my way.",
    "Did you see the new clip?",
    "哈哈",
    "Tomorrow then.",
    "晚安 🌙",
    "Thank you!",
    "几点？",
    "Ten minutes.",
    "没问题",
];
