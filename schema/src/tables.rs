//! The tables as both stores have them. Owns names and types; `migrations/` owns how they came to be.
#![allow(missing_docs, reason = "columns are described in the migrations")]

diesel::table! {
    store (id) {
        id -> BigInt,
        store_id -> Text,
        created_at -> BigInt,
        epoch -> Text,
        beat -> BigInt,
        keep_events -> BigInt,
    }
}

diesel::table! {
    id_blocks (kind) {
        kind -> Text,
        next_id -> BigInt,
    }
}

diesel::table! {
    clocks (name) {
        name -> Text,
        last_ms -> BigInt,
    }
}

diesel::table! {
    users (id) {
        id -> BigInt,
        name -> Text,
        password_hash -> Text,
        token_version -> BigInt,
        avatar -> Text,
        background_image -> Text,
        signature -> Text,
        follow_count -> BigInt,
        follower_count -> BigInt,
        total_favorited -> BigInt,
        work_count -> BigInt,
        favorite_count -> BigInt,
        created_at -> BigInt,
    }
}

diesel::table! {
    videos (id) {
        id -> BigInt,
        author_id -> BigInt,
        title -> Text,
        media_hash -> Text,
        publish_time -> BigInt,
        favorite_count -> BigInt,
        comment_count -> BigInt,
    }
}

diesel::table! {
    favorites (user_id, video_id) {
        user_id -> BigInt,
        video_id -> BigInt,
        active -> Bool,
        changed_at -> BigInt,
        noticed -> Bool,
    }
}

diesel::table! {
    follows (follower_id, followee_id) {
        follower_id -> BigInt,
        followee_id -> BigInt,
        active -> Bool,
        changed_at -> BigInt,
    }
}

diesel::table! {
    comments (id) {
        id -> BigInt,
        video_id -> BigInt,
        user_id -> BigInt,
        content -> Text,
        created_at -> BigInt,
        deleted_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    conversations (user_id, peer_id) {
        user_id -> BigInt,
        peer_id -> BigInt,
        last_time -> BigInt,
        last_message_id -> BigInt,
        read_time -> BigInt,
        read_message_id -> BigInt,
        unread -> BigInt,
    }
}

diesel::table! {
    messages (id) {
        id -> BigInt,
        user_lo -> BigInt,
        user_hi -> BigInt,
        from_user_id -> BigInt,
        content -> Text,
        create_time -> BigInt,
        client_key -> Nullable<Text>,
    }
}

diesel::table! {
    ledger_mark (id) {
        id -> BigInt,
        ledger_id -> Text,
        position -> BigInt,
    }
}

diesel::table! {
    streams (user_id) {
        user_id -> BigInt,
        next_seq -> BigInt,
    }
}

diesel::table! {
    events (user_id, seq) {
        user_id -> BigInt,
        seq -> BigInt,
        kind -> Text,
        payload -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    revocations (changed_at) {
        changed_at -> BigInt,
        user_id -> BigInt,
        token_version -> BigInt,
    }
}

diesel::table! {
    last_seen (user_id) {
        user_id -> BigInt,
        seen_at -> BigInt,
    }
}

diesel::joinable!(videos -> users (author_id));
diesel::joinable!(comments -> users (user_id));
diesel::joinable!(favorites -> videos (video_id));
diesel::allow_tables_to_appear_in_same_query!(
    users,
    videos,
    favorites,
    follows,
    comments,
    conversations,
    ledger_mark,
    messages
);
diesel::allow_tables_to_appear_in_same_query!(streams, events, store);
