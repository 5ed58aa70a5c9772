//! What the users of the demo world write to each other. Data only; the rules it keeps are tested one level up.

use super::{AMARA, ASTRID, CAT, CHEN, DemoChat, DemoMessage, LEILA, LIN, MATEO, NOAH, PRIYA, SORA, ZHOU};

const fn says(from: usize, minutes_ago: u32, content: &'static str) -> DemoMessage {
    DemoMessage {
        from,
        minutes_ago,
        content,
    }
}

/// Every conversation.
pub static CHATS: [DemoChat; 6] = [
    DemoChat {
        users: [LIN, CHEN],
        messages: &[
            says(CHEN, 2890, "小满，周末去看海吗？"),
            says(LIN, 2884, "好呀！几点出发？"),
            says(CHEN, 2883, "早一点，六点？想拍日出"),
            says(LIN, 2880, "六点……我尽量醒 😂"),
            says(CHEN, 2879, "我带热茶来"),
            says(LIN, 2878, "那我一定醒！"),
            says(LIN, 1320, "照片我都整理好啦，晚上发你"),
            says(CHEN, 1310, "辛苦了，下次换我整理 👍"),
        ],
    },
    DemoChat {
        users: [NOAH, MATEO],
        messages: &[
            says(MATEO, 1700, "That road behind the fields is finally dry again."),
            says(NOAH, 1688, "Say no more. Saturday?"),
            says(MATEO, 1687, "Saturday. I bring the camera, you bring the snacks."),
            says(NOAH, 1685, "That is how it always goes 😄"),
            says(MATEO, 260, "Clip is up! You look almost fast."),
            says(NOAH, 251, "It was the wind. Both ways, somehow."),
        ],
    },
    DemoChat {
        users: [ASTRID, ZHOU],
        messages: &[
            says(ZHOU, 4100, "Hi Astrid! Is November too early for the lights?"),
            says(
                ASTRID,
                4062,
                "Not at all. You need a clear night, warm socks and a bit of luck.",
            ),
            says(ZHOU, 4055, "Socks I can plan. How do I plan luck?"),
            says(ASTRID, 4051, "Stay a week instead of a weekend 😉"),
            says(ZHOU, 4049, "哈哈，好主意！ (good idea!)"),
            says(ASTRID, 705, "Tonight looks good, by the way. Green all the way down."),
            says(ZHOU, 690, "So jealous. Please post it ✨"),
        ],
    },
    DemoChat {
        users: [SORA, LEILA],
        messages: &[
            says(LEILA, 3300, "Which tea goes with rain?"),
            says(SORA, 3291, "Hōjicha. Always hōjicha."),
            says(LEILA, 3290, "Trying it now. You are right and I am annoyed about it."),
            says(SORA, 3288, "🍵🌧️"),
            says(LEILA, 95, "Rain again today. Guess what is in my cup."),
            says(SORA, 88, "I would not dare to guess 😌"),
        ],
    },
    DemoChat {
        users: [AMARA, PRIYA],
        messages: &[
            says(PRIYA, 2210, "Do sunflowers mind being moved at this size?"),
            says(
                AMARA,
                2204,
                "They sulk for two days. Water them in the evening and do not apologise to them.",
            ),
            says(PRIYA, 2203, "Too late, I already apologised."),
            says(AMARA, 2202, "Then give it three days 😄"),
            says(PRIYA, 410, "It stands up straight again! 🌻"),
            says(AMARA, 402, "Told you. Proud of both of you."),
        ],
    },
    DemoChat {
        users: [LIN, CAT],
        messages: &[
            says(CAT, 1150, "猫今天又把茶杯推下桌了"),
            says(LIN, 1146, "杯子还好吗？"),
            says(CAT, 1145, "杯子没事，猫很失望"),
            says(LIN, 1144, "哈哈哈哈 🤣 替我摸摸它"),
            says(CAT, 1138, "它说可以，三下为限"),
        ],
    },
];
