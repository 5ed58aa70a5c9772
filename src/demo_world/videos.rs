//! What the users of the demo world post, and what others say about it. Data only; the rules it keeps are tested one
//! level up.

use super::{
    AMARA, ASTRID, AURORA, BALLOONS, BICYCLE, CAT, CHEN, DUSK_WAVES, DemoComment, DemoVideo, JONAS, KOI_POND, LANTERNS,
    LEILA, LIN, MATEO, NIGHT_TRAIN, NOAH, PRIYA, RAIN_WINDOW, SORA, SUNFLOWER, TEA_STEAM, ZHOU,
};

const fn says(user: usize, minutes_ago: u32, content: &'static str) -> DemoComment {
    DemoComment {
        user,
        minutes_ago,
        content,
    }
}

/// Every video, the oldest first.
pub static VIDEOS: [DemoVideo; 16] = [
    DemoVideo {
        author: CHEN,
        clip: DUSK_WAVES,
        title: "傍晚的海，和一艘不着急的船",
        minutes_ago: 8_740,
        likes: &[LIN, ZHOU, SORA, MATEO, ASTRID, CAT, PRIYA],
        comments: &[
            says(LIN, 8_702, "这个颜色太温柔了 😭"),
            says(ASTRID, 8_511, "I could watch this for an hour."),
            says(CHEN, 8_490, "Thank you! 我确实看了一个小时"),
        ],
    },
    DemoVideo {
        author: SORA,
        clip: RAIN_WINDOW,
        title: "Rain, third floor, 11 pm",
        minutes_ago: 7_655,
        likes: &[LEILA, LIN, PRIYA, CAT],
        comments: &[
            says(LEILA, 7_640, "I can hear this one, and it has no sound."),
            says(CAT, 7_602, "猫盯着雨滴看了十分钟"),
        ],
    },
    DemoVideo {
        author: JONAS,
        clip: BALLOONS,
        title: "Office view this morning 🎈",
        minutes_ago: 6_980,
        likes: &[NOAH, ASTRID, MATEO, AMARA, PRIYA, LIN, CHEN, LEILA, SORA],
        comments: &[
            says(NOAH, 6_951, "And I complain about my commute."),
            says(AMARA, 6_920, "Is it cold up there?"),
            says(JONAS, 6_915, "Toasty, actually. You stand next to a very large flame."),
            says(LIN, 6_800, "好想坐一次！"),
        ],
    },
    DemoVideo {
        author: LEILA,
        clip: TEA_STEAM,
        title: "First cup",
        minutes_ago: 6_130,
        likes: &[SORA, LIN],
        comments: &[says(LIN, 6_118, "早安 ☕ 不对，早安 🍵")],
    },
    DemoVideo {
        author: ASTRID,
        clip: AURORA,
        title: "Twenty minutes of green, then clouds",
        minutes_ago: 5_475,
        likes: &[ZHOU, CHEN, NOAH, JONAS, PRIYA, LIN, SORA, AMARA, MATEO, CAT],
        comments: &[
            says(ZHOU, 5_470, "太美了！！！"),
            says(JONAS, 5_433, "From a balloon this must be something."),
            says(ASTRID, 5_429, "Is that an offer?"),
            says(JONAS, 5_428, "It is now."),
            says(CHEN, 5_201, "第一次看到湖里的倒影，震撼"),
        ],
    },
    DemoVideo {
        author: PRIYA,
        clip: LANTERNS,
        title: "We folded four hundred of these",
        minutes_ago: 4_870,
        likes: &[AMARA, SORA, LIN, CAT, ZHOU, LEILA, CHEN, ASTRID],
        comments: &[
            says(AMARA, 4_861, "And my fingers remember every single one."),
            says(ZHOU, 4_820, "愿望都飞上去啦 🏮"),
            says(SORA, 4_640, "Beautiful. What paper did you use?"),
            says(PRIYA, 4_622, "Rice paper, it lets the light through best."),
        ],
    },
    DemoVideo {
        author: SORA,
        clip: KOI_POND,
        title: "三匹の鯉 / three koi, no hurry",
        minutes_ago: 4_215,
        likes: &[LEILA, LIN, CAT, PRIYA, AMARA],
        comments: &[
            says(CAT, 4_209, "我家猫想认识一下它们 👀"),
            says(SORA, 4_204, "From behind glass, please 😅"),
        ],
    },
    DemoVideo {
        author: AMARA,
        clip: SUNFLOWER,
        title: "She made it! Day 74 🌻",
        minutes_ago: 3_560,
        likes: &[PRIYA, LEILA, JONAS, MATEO, CAT, NOAH],
        comments: &[
            says(PRIYA, 3_555, "Look at her!"),
            says(MATEO, 3_470, "The bee is the real star here."),
            says(AMARA, 3_466, "He knows. 🐝"),
        ],
    },
    DemoVideo {
        author: ZHOU,
        clip: NIGHT_TRAIN,
        title: "夜车，靠窗，满月",
        minutes_ago: 3_020,
        likes: &[CHEN, LIN, ASTRID, SORA, CAT],
        comments: &[
            says(SORA, 3_011, "The lamp, the book, the cup. Perfect seat."),
            says(LIN, 2_985, "去哪里呀？"),
            says(ZHOU, 2_980, "去看星星 ✨"),
        ],
    },
    DemoVideo {
        author: CAT,
        clip: TEA_STEAM,
        title: "猫不在的时候，可以安心喝茶",
        minutes_ago: 2_405,
        likes: &[LIN, LEILA, ZHOU],
        comments: &[
            says(LEILA, 2_399, "Where is the cat? 😮"),
            says(CAT, 2_390, "在睡觉，嘘 🤫"),
        ],
    },
    DemoVideo {
        author: NOAH,
        clip: DUSK_WAVES,
        title: "Ride to the coast: worth every hill",
        minutes_ago: 1_880,
        likes: &[MATEO],
        comments: &[says(MATEO, 1_861, "There were seventeen hills. I counted.")],
    },
    DemoVideo {
        author: LIN,
        clip: SUNFLOWER,
        title: "风有一点大，向日葵不介意",
        minutes_ago: 1_435,
        likes: &[CHEN, CAT, AMARA, PRIYA],
        comments: &[
            says(AMARA, 1_429, "Lovely! How tall is it?"),
            says(LIN, 1_422, "比我高一点点 🙈"),
        ],
    },
    DemoVideo {
        author: CHEN,
        clip: BALLOONS,
        title: "云海之上",
        minutes_ago: 980,
        likes: &[LIN, ZHOU, JONAS],
        comments: &[says(JONAS, 961, "Somebody finally understands my job.")],
    },
    DemoVideo {
        author: ASTRID,
        clip: AURORA,
        title: "Again tonight. Never gets old.",
        minutes_ago: 620,
        likes: &[ZHOU, NOAH, CHEN, JONAS, LIN, PRIYA, CAT],
        comments: &[
            says(ZHOU, 611, "谢谢你真的发了！✨"),
            says(NOAH, 540, "Packing my bag."),
            says(PRIYA, 388, "The reflection in the lake!"),
        ],
    },
    DemoVideo {
        author: MATEO,
        clip: BICYCLE,
        title: "Golden hour, flowers included",
        minutes_ago: 275,
        likes: &[NOAH, CHEN, AMARA, JONAS, LIN],
        comments: &[
            says(NOAH, 249, "My scarf has more style than I do."),
            says(AMARA, 180, "Who are the flowers for?"),
            says(MATEO, 174, "For whoever asks first 💐"),
            says(CHEN, 66, "这条路在哪里？想去骑！"),
        ],
    },
    DemoVideo {
        author: LIN,
        clip: LANTERNS,
        title: "今晚的湖边，许个愿吧 🏮",
        minutes_ago: 42,
        likes: &[CAT, CHEN],
        comments: &[
            says(CAT, 35, "许愿：猫不要再推杯子了"),
            says(CHEN, 21, "许愿成功率：0%"),
        ],
    },
];
